"""Sends a request and stamps what comes back: the one room where timing is done."""
