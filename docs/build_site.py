"""``make site``: the documentation as a site, from ``docs/``, the notebooks and the docstrings, into ``build/site``.

Nothing of it asks the network, neither now nor when it is read. The notebooks are run, which takes a minute;
``--without-figures`` leaves that out. A warning is an error.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from docs import notebook_pages, reference

ROOT = Path(__file__).parents[1]
PAGES, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"
COPIED = ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/*.md", "docs/**/*.md", "docs/**/*.png", "notebooks/*.md",
          "sample_data/*.md")  # fmt: skip
LINK = re.compile(r"(\]\()([^)\s#]+)")


def main() -> None:
    """Gather the pages, build the site, and check it."""
    options = argparse.ArgumentParser(prog="python -m docs.build_site", description=__doc__)
    options.add_argument("--without-figures", action="store_true", help="do not run the notebooks")
    figures = not options.parse_args().without_figures
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    gather(PAGES, figures=figures)
    zensical = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", "zensical.toml"]
    if (status := subprocess.run(zensical, cwd=ROOT, check=False).returncode) != 0:
        sys.exit(status)
    if wrong := list(check(SITE)):
        sys.exit("\n".join(wrong))
    sys.stdout.write(f"built {SITE.relative_to(ROOT)}/index.html\n")


def gather(pages: Path, *, figures: bool) -> None:
    """Put every page into one folder, as Markdown, at its place in the repository."""
    for path in [ROOT / "README.md", *(path for pattern in COPIED for path in sorted(ROOT.glob(pattern)))]:
        target = pages / ("index.md" if path == ROOT / "README.md" else path.relative_to(ROOT))
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(linked(path.read_text(encoding="utf-8"), path), encoding="utf-8")
        else:
            shutil.copy(path, target)
    (pages / "reference").mkdir()
    for name, group in reference.GROUPS.items():
        (pages / "reference" / f"{name}.md").write_text(reference.page(group), encoding="utf-8")
    (pages / "reference" / "commands.md").write_text(reference.commands(), encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = notebook_pages.page(path, pages / "notebooks", figures=figures)
        (pages / "notebooks" / f"{path.stem}.md").write_text(linked(text, path), encoding="utf-8")


def linked(text: str, path: Path) -> str:
    """Return a page whose links to notebooks, to folders and to the README lead to their pages."""

    def replaced(match: re.Match[str]) -> str:
        link = match[2]
        if "://" in link:
            return match[0]
        target = (path.parent / link).resolve()
        if target == ROOT / "README.md":
            link = f"{'../' * (len(path.relative_to(ROOT).parts) - 1)}index.md"
        elif target.is_dir():
            link = f"{link.rstrip('/')}/README.md"
        return match[1] + re.sub(r"\.ipynb$", ".md", link)

    return LINK.sub(replaced, text)


class Page(HTMLParser):
    """What a page of the site refers to, and what can be referred to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note the names and the references of an element."""
        given = {name: value or "" for name, value in attributes}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(given["href"])
        if "src" in given:
            self.loaded.append(given["src"])


def check(site: Path) -> Iterator[str]:
    """Yield what is wrong with a site: what it loads from elsewhere, links to nowhere, names that are missing."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(site)
        if where.name == "404.html":  # its links are those of the root of a server
            continue
        for link in page.loaded:
            if re.match(r"(\w+:)?//", link):
                yield f"{where} loads {link}, which is not part of the site"
            elif not link.startswith("data:") and not _target(path, link).exists():
                yield f"{where} loads {link}, which is not there"
        for link in page.links:
            if re.match(r"\w+:", link):
                continue
            target, _, anchor = link.partition("#")
            found = _target(path, target) if target else path
            if found.is_dir():
                found = found / "index.html"
            if not found.exists():
                yield f"{where} links to {link}, which is not there"
            elif anchor and found in pages and unquote(anchor) not in pages[found].ids:
                yield f"{where} links to {link}, where there is no such place"
    for path in sorted(site.rglob("*.css")):
        for place in re.findall(
            r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]+)", path.read_text(encoding="utf-8")
        ):
            yield f"{path.relative_to(site)} loads {place}, which is not part of the site"
    described = {name for path, page in pages.items() if path.parent.name == "reference" for name in page.ids}
    for group in reference.GROUPS.values():
        yield from (f"{name} is not described" for name in group.names if reference.place(name) not in described)


def _target(page: Path, link: str) -> Path:
    return (page.parent / unquote(link.partition("?")[0])).resolve()


if __name__ == "__main__":
    main()
