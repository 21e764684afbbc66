"""The process beside the event loop: builds requests, decodes finished responses, writes rows."""
