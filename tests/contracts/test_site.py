"""The site builds from docs/ without a warning, has every public name, and its links lead to places that are there."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import causalrel as cr

ROOT = Path(__file__).parents[2]
GENERATOR = ("sphinx", "myst_nb", "furo")
MADE = shutil.ignore_patterns("_build", "notebooks", "reference", "__pycache__", ".*")


class Page(HTMLParser):
    """The places of a page, the links it has, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.places |= {told[name] for name in ("id", "name") if name in told}
        if "href" in told:
            (self.links if tag == "a" else self.loads).append(told["href"])
        if "src" in told:
            self.loads.append(told["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a copy of the pages, so that the checkout stays as it is."""
    lacking = [name for name in GENERATOR if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"{' and '.join(lacking)} not installed; in the docs group, which dev includes")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=MADE)
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=MADE)
    shutil.copy(ROOT / "README.md", folder)
    arguments = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", "site"]
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Parse every page."""
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_document_and_notebook_is_a_page(site: Path) -> None:
    documents = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").glob("*.md")]
    documents += [path.relative_to(ROOT / "docs") for path in (ROOT / "docs" / "how-to").glob("*.md")]
    documents += [path.relative_to(ROOT) for path in (ROOT / "notebooks").glob("*.ipynb")]
    assert len(documents) > 20
    assert [path for path in documents if not (site / path).with_suffix(".html").is_file()] == []


def test_every_public_name_has_a_page_with_its_docstring(site: Path) -> None:
    found = {path.stem.removeprefix("causalrel."): path for path in (site / "reference").glob("causalrel.*.html")}
    assert sorted(found) == cr.__all__
    for name, path in found.items():
        first = (getattr(cr, name).__doc__ or "").split()[0].strip("*`:,")
        assert first in path.read_text(encoding="utf-8")


def test_every_link_leads_to_a_place_that_is_there(pages: dict[Path, Page]) -> None:
    broken: list[str] = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link in ("", "#"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = target.is_file() and (
                not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].places
            )
            if not there:
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    far = {load for page in pages.values() for load in page.loads if urlsplit(load).scheme not in ("", "data")}
    assert far == set()
