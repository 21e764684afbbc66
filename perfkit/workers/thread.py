"""A worker on a thread of this process: loads the engine, which a driver of processes need not."""

import threading

from perfkit.errors import PerfkitError
from perfkit.workers.conversation import Event, Listen, ReadPrompts, Source, lost
from perfkit.workers.execution import api_of, carry_out, start_desk
from perfkit.workers.inbox import Inbox
from perfkit.workers.work import Work, failure_event


class ThreadWorker:
    """Carries out work on threads of this process, on a loop of its own that nobody patches.

    For trying things and for tests: whatever else the process does disturbs the measurement.
    """

    def __init__(self, work: Work, listen: Listen, prompts: ReadPrompts | None = None) -> None:
        self._work, self._listen = work, listen
        self._source = Source(prompts)
        self._ended = False
        self._inbox = Inbox()
        self._thread = threading.Thread(target=self._carry_out, name="perfkit-worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending; what has come is kept."""
        self._inbox.stop()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; tell whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _carry_out(self) -> None:
        try:
            api = api_of(self._work)
            desk = start_desk(self._work, api, forked=False)
            carry_out(self._work, api, desk, self._on_event, self._inbox, alone=False)
        except PerfkitError as error:
            self._on_event({"event": "ended", **failure_event(error)})
        finally:
            if not self._ended:
                self._on_event(lost("its thread raised"))

    def _on_event(self, event: Event) -> None:
        if event["event"] == "ended":
            self._ended = True
            self._listen(event)
        elif event["event"] == "want":
            self._inbox.prompts(self._source.want(event["reading"], event["count"])())
        else:
            self._listen(event)
