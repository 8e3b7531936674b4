"""A report in a real browser without a network: it asks for nothing, complains of nothing and fits its width."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import CHROMIUM, Browser, browser
from test_reports import HOSTILE, PLAIN, answers_of, hostile_report, network_of, windows_of

from causalrel.reports import compose
from causalrel.reports.outputs import render

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

WIDTHS = (400, 1280)
#: Elements wider than the page that do not stand in a box of their own that scrolls.
ESCAPED = """[...document.querySelectorAll('main *')].filter(
    e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest('.scroll, .only')
).map(e => e.tagName + '.' + e.className).join(' ')"""
#: Captions wider than the page or not above their table, and the smallest letters, of text and of drawings.
CAPTIONS = """[...document.querySelectorAll('caption')].filter(e => e.getBoundingClientRect().right > innerWidth
    || e.getBoundingClientRect().bottom > e.parentElement.tHead.getBoundingClientRect().top + 1).length"""
SMALLEST = """Math.min(...[...document.querySelectorAll('main *')].filter(e => !e.closest('svg')).map(
    e => parseFloat(getComputedStyle(e).fontSize)))"""
DRAWN = """Math.min(...[...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height).filter(
    height => height > 0))"""
ACTIVE = "document.querySelectorAll('script, img, iframe, object, embed, link, a, form, [onerror], [onload]').length"

#: What a printed page of A4 with the margins of the report holds, in CSS pixels.
SHEET = (688, 1017)
#: Elements wider than the sheet, and what is folded away on it.
CUT = f"""[...document.querySelectorAll('main *')].filter(
    e => e.getBoundingClientRect().right > {SHEET[0]} + 1 && !e.closest('svg')
).map(e => e.tagName + '.' + e.className).join(' ')"""
FOLDED = """[...document.querySelectorAll('details table')].filter(
    e => !e.checkVisibility({contentVisibilityAuto: true}) || e.getBoundingClientRect().height === 0).length"""
#: Figures parted from their caption, when the report flows through sheets that begin at any height of its first one.
PARTED = f"""(inside => {{
    const body = document.body, first = document.createElement('div');
    body.prepend(first);
    body.style.cssText = 'columns: auto {SHEET[0]}px; column-gap: 0; column-fill: auto; height: {SHEET[1]}px';
    let parted = 0;
    for (let start = 0; start < {SHEET[1]}; start += 10) {{
        first.style.height = start + 'px';
        for (const figure of document.querySelectorAll('figure')) {{
            figure.style.breakInside = inside;
            parted += figure.getClientRects().length > 1;
        }}
    }}
    first.remove();
    body.style.cssText = '';
    return parted;
}})"""


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    """One browser for all pages."""
    with browser() as made:
        yield made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    windows = windows_of(PLAIN)
    path = tmp_path_factory.mktemp("plain") / "report.html"
    compose(windows, network_of(windows), answers_of(windows)).save(path)
    return path


def assert_quiet(page: Browser, path: Path) -> None:
    assert page.requests == [path.resolve().as_uri()]
    assert page.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_is_quiet_and_fits(page: Browser, plain: Path, width: int) -> None:
    page.open(plain, width)
    assert_quiet(page, plain)
    assert page.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.value(ESCAPED) == ""
    assert page.value(CAPTIONS) == 0
    assert page.value(SMALLEST) >= 12
    assert page.value(DRAWN) >= 9
    assert page.value("getComputedStyle(document.querySelector('section p')).fontSize") == "16px"
    assert page.value("document.querySelector('.narrow').offsetWidth > 0") is (width == 400)
    assert page.value("document.querySelector('.wide').offsetWidth > 0") is (width == 1280)


def test_a_report_prints_whole(page: Browser, plain: Path) -> None:
    """A few sheets of A4: nothing beside the paper, nothing folded away, no figure across two sheets."""
    page.open(plain, 1280)
    assert page.value(FOLDED) > 0
    printed = page.printed()
    assert printed.startswith(b"%PDF-")
    assert 4 <= len(re.findall(rb"/Type /Page\b", printed)) <= 8
    page.ask("Emulation.setEmulatedMedia", media="print")
    try:
        page.ask(
            "Emulation.setDeviceMetricsOverride", width=SHEET[0], height=SHEET[1], deviceScaleFactor=1, mobile=False
        )
        assert page.value(CUT) == ""
        assert page.value(FOLDED) == 0
        assert page.value("document.querySelector('.wide').offsetWidth > 0")
        assert page.value("getComputedStyle(document.querySelector('.verdict')).printColorAdjust") == "exact"
        assert page.value(f"{PARTED}('')") == 0
        assert page.value(f"{PARTED}('auto')") > 0
    finally:
        page.ask("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("bad", [HOSTILE[0], HOSTILE[1], HOSTILE[10], "x" * 300])
def test_a_hostile_name_shows_as_text(page: Browser, bad: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    hostile_report(bad).save(path)
    page.open(path, 400)
    assert_quiet(page, path)
    assert page.value(ACTIVE) == 0
    assert page.value("document.querySelector('h1').textContent") == f"About {bad}"
    assert page.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_hostile_name_in_a_notebook_shows_as_text(page: Browser, tmp_path: Path) -> None:
    """What Jupyter would put on its page, without the policy that a report brings along."""
    report = hostile_report(HOSTILE[0])
    nouns = [report, *(section.answer for section in report.sections if section.answer is not None)]
    nouns += [windows_of([f"{HOSTILE[0]}{suffix}" for suffix in "scho"], (HOSTILE[0], "b"))]
    path = tmp_path / "cell.html"
    path.write_text("<!DOCTYPE html><meta charset='utf-8'>" + "".join(noun._repr_html_() for noun in nouns))
    page.open(path, 1280)
    assert_quiet(page, path)
    assert page.value(ACTIVE) == 0
    assert page.value("document.body.textContent.includes('<img src=x onerror=alert(1)>')")


def test_the_page_would_have_noticed(page: Browser, tmp_path: Path) -> None:
    """The same looks see what a page that is not inert does."""
    path = tmp_path / "bad.html"
    path.write_text("<img src=x onerror=alert(1)><main><p style='width: 2000px'>wide</p></main><a href='x'></a>")
    page.open(path, 400)
    assert len(page.requests) == 2
    assert {"Network.loadingFailed", "Page.javascriptDialogOpening"} <= {one["method"] for one in page.complaints}
    assert page.value(ACTIVE) == 2
    assert page.value(ESCAPED) == "P."


def test_one_answer_as_a_page_is_quiet(page: Browser, tmp_path: Path) -> None:
    path = tmp_path / "answer.html"
    path.write_text(render(answers_of(windows_of(PLAIN)).attribution, "html"), encoding="utf-8")
    page.open(path, 400)
    assert_quiet(page, path)
    assert page.value(ESCAPED) == ""
