"""Where the engine runs: processes of its own, here or beside a cluster's workers, or a thread of this one."""
