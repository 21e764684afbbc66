"""Where the engine runs: a process of its own, or a thread of this one."""
