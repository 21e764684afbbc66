"""What is said of a run beside its numbers: of its dataset, options and plugins, and of compressed answers."""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from perfkit.apis.bodies import unsent
from perfkit.apis.error_places import is_own
from perfkit.loadgen.datasets.remarks import Remarks
from perfkit.loadgen.plugin_watch import PluginWatch
from perfkit.options.arguments import Arguments, spelt
from perfkit.records import Json
from perfkit.registry import DATASETS

HELD, HELD_SHARE = 0.5, 0.1
"""Seconds, and share of a run, in a plugin's own code from which it is said."""


class RunRemarks:
    """Gathers the remarks of one run after the other, and says each as soon as it is known.

    Parameters
    ----------
    tell : callable
        Takes a sentence for whoever started the run; called from another thread, too.
    api_class : type
        The API plugin.
    """

    def __init__(self, tell: Callable[[str], None], api_class: type) -> None:
        self._tell, self._api_class = tell, api_class
        self.dataset: Remarks | None = None
        """Of the dataset that is read here."""
        self.pumped: tuple[str, ...] = ()
        """Of the driver's iterable, so far."""
        self._told = 0
        self._said: list[str] = []
        self._watch: PluginWatch | None = None
        self._began = 0.0

    @property
    def said(self) -> Sequence[str]:
        """What is kept so far, what is to be said of the dataset left out."""
        return self._said

    def begin(self, said: Sequence[str] = ()) -> None:
        """Begin a run, of which something is said already: watch what may wait where a person's own code is called."""
        self.dataset, self._told, self._said, self._began = None, 0, [*said], monotonic()
        if self._watch is not None:
            self._watch.held.clear()
        elif is_own(self._api_class) or DATASETS.own:
            self._watch = PluginWatch(self._tell, "the recorder")
            self._watch.start()

    def keep(self, sentence: str) -> None:
        """Keep a sentence that was said elsewhere."""
        self._said.append(sentence)

    def say(self, sentence: str) -> None:
        """Say a sentence at once, and keep it."""
        self._said.append(sentence)
        self._tell(sentence)

    def say_of_dataset(self) -> None:
        """Say what is new of the dataset."""
        said = self.dataset.said if self.dataset else []
        for sentence in said[self._told :]:
            self._tell(sentence)
        self._told = len(said)

    def say_of_options(self, given: Arguments, body: Mapping[str, Json]) -> None:
        """Say which options the run was given and its API does not send, by a body that it made."""
        names = unsent(given, body)
        if names:
            api = spelt(given.parser or given.api)
            self.say(f"not sent by the api {api}: {', '.join(names)}; extra_args puts a field into every body")

    def end(self, compressed: Mapping[str, int]) -> list[str]:
        """Return all sentences; ``compressed`` counts streams that came in one read, by the header that says why."""
        held = self._watch and self._watch.sentence(
            max(HELD, HELD_SHARE * (monotonic() - self._began)),
            "requests are made and answers read there one by one, and later ones had to wait; do beforehand what waits",
        )
        if held:
            self.say(held)
        for coded_by, count in compressed.items():
            self.say(
                f"{count:,} streamed answers came in one read each, with {coded_by}: compressing holds chunks back, "
                "so that their TTFT is an upper bound; turn it off for event streams (nginx: `gzip off`)"
            )
        return list(dict.fromkeys([*(self.dataset.sentences() if self.dataset else self.pumped), *self._said]))

    def stop(self) -> None:
        """Watch no more."""
        if self._watch is not None:
            self._watch.stop()
