"""What servers published, put into run files by hand: looks at pages, for tests of what is made of them."""

import sqlite3
from contextlib import closing
from pathlib import Path

from perfkit.loadgen.scraping.page import Page, PublishedAt, parse
from perfkit.loadgen.scraping.scraper import PageReader
from perfkit.runfile.writer import Writer
from perfkit.secrets import Scrubber
from tests.run_files import START

PAGES = Path(__file__).parent / "fixtures/server_pages"


def page(name: str) -> str:
    """Return one of the pages made from servers' documentation."""
    return (PAGES / f"{name}.prom").read_text(encoding="utf-8")


def publish(path: Path, *looks: tuple[float, str | None], url: str = "http://h/metrics") -> Path:
    """Add looks at a page to the only run of a file: seconds of the run, and the text, None where none came."""
    with closing(sqlite3.connect(path)) as file:
        ((run_id,),) = file.execute("SELECT run_id FROM run")
    reader = PageReader(PublishedAt(url), lambda *_: None, lambda _: None)
    rows = []
    for at, text in looks:
        found = None if text is None else Page(START + at, 0.01, parse(text, Scrubber([])))
        made = reader.samples(run_id, found)
        rows += [row._replace(time=START + at) for row in made]
    writer = Writer(path)
    writer.add_server_samples(rows, {})
    writer.close()
    return path
