"""What servers publish of themselves, read while a job runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from perfkit.options.arguments import Arguments

if TYPE_CHECKING:
    from perfkit.loadgen.scraping.scraper import Scraper


def scraper_of(arguments: Arguments, tell: Callable[[str], None]) -> "Scraper | None":
    """Return what reads the pages that a job asks for; None where it asks for none."""
    if arguments.scrape is False:
        return None
    # Late: its HTTP client takes longer to load than most of what every command does.
    from perfkit.loadgen.scraping.page import pages_of
    from perfkit.loadgen.scraping.scraper import Scraper

    return Scraper(pages_of(arguments), tell)
