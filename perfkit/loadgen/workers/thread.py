"""A worker on a thread of this process."""

import threading
from functools import partial

from perfkit.errors import PerfkitError
from perfkit.loadgen.workers.mailbox import Mailbox
from perfkit.loadgen.workers.points import api_of, carry_out, start_recorder
from perfkit.loadgen.workers.protocol import Event, Listen, ReadPrompts, Source, lost
from perfkit.loadgen.workers.work import Work, failure_event
from perfkit.runfile.writer import Writer


class ThreadWorker:
    """Carries out work on threads of this process, on a loop of its own that nobody patches.

    For trying things and for tests: whatever else the process does disturbs the measurement.
    """

    def __init__(self, work: Work, listen: Listen, prompts: ReadPrompts | None = None) -> None:
        self._work, self._listen = work, listen
        self._source = Source(prompts, work.arguments.read_timeout)
        self._ended = False
        self._mailbox = Mailbox()
        self._thread = threading.Thread(target=self._carry_out, name="perfkit-worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending; what has come is kept."""
        self._mailbox.stop()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; tell whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _carry_out(self) -> None:
        try:
            api = api_of(self._work)
            store = partial(Writer, texts=self._work.arguments.texts)
            recorder = start_recorder(self._work, api, forked=False, open_store=store)
            carry_out(self._work, api, recorder, self._on_event, self._mailbox, alone=False)
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
            self._source.pump(event["reading"], event["count"], self._mailbox.prompts)
        else:
            self._listen(event)
