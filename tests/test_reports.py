"""Reports say the numbers of their answers, the same in every format, and show labels as data."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import causalrel as cr
from causalrel.budgets import budget
from causalrel.errors import CausalrelError
from causalrel.estimates import Check, Estimate, refusal
from causalrel.graphs import Edge, Graph, Unmeasured
from causalrel.networks import Mechanism, Network
from causalrel.reports import Report, compose
from causalrel.reports.answers import Answers, best_setting, overall, worst_slo
from causalrel.reports.outputs import render, save_text, to_json
from causalrel.reports.tables import aligned, cells, make_table, shown
from causalrel.slos import SLO
from causalrel.variables import Variable
from causalrel.windows import Windows

START = datetime(2026, 2, 9, tzinfo=UTC)
END = START + timedelta(days=2)
DURING = (END - timedelta(days=1), END)
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "a|b",
    "`rm -rf`",
    "line\nbreak",
    "[/foo]",
    "\x1b[2J",
    "$\\alpha$",
    "\u202egnp.exe",
    "[x](http://evil.example/)",
    "</title></svg><svg onload=alert(1)>",
    '" onmouseover="alert(1)',
)


def windows_of(names: Sequence[str], units: Sequence[str] = ("gpu-0", "gpu-1")) -> Windows:
    slo, config, hardware = names[:3]
    rng = np.random.default_rng(0)
    times = [START + timedelta(hours=hour) for hour in range(48)]
    frames = [
        pl.DataFrame(
            {
                "time": times,
                "unit": [unit] * 48,
                f"{slo}.total": [100] * 48,
                f"{slo}.bad": rng.binomial(100, 0.02, 48).tolist(),
                config: ["4", "8"] * 24,
                hardware: rng.normal(size=48).tolist(),
            },
            schema_overrides={"time": pl.Datetime("us", "UTC")},
        )
        for unit in sorted(units)
    ]
    changes = pl.DataFrame(
        {"time": [times[3], times[30]], "node": [units[0]] * 2, "variable": [config] * 2, "before": "4", "after": "8"}
    )
    return Windows(
        table=pl.concat(frames),
        width=timedelta(hours=1),
        slos=(SLO(name=slo, dimension="latency", target=0.98, owner=names[3] if len(names) > 3 else ""),),
        variables=(
            Variable(name=config, role="config", kind="category"),
            Variable(name=hardware, role="hardware"),
        ),
        notes=("3 requests without a time were left out",),
        changes=changes,
    )


def network_of(windows: Windows, why: str = "by design") -> Network:
    config, hardware = windows.variables
    slo = windows.slos[0]
    graph = Graph(
        variables=(config, hardware, Variable(name=slo.name, role="outcome", kind="events")),
        edges=(
            Edge(cause=config.name, effect=slo.name, why=why, source=why),
            Edge(cause=hardware.name, effect=slo.name, support=0.7),
            Edge(cause=slo.name, effect=slo.name, lag=1),
        ),
        unmeasured=(Unmeasured(name=f"hidden {why}", affects=(config.name, slo.name), why=why),),
        name=why,
    )
    return Network(
        graph=graph,
        mechanisms=tuple(Mechanism(variable=v, form="observed") for v in graph.variables),
        slos=windows.slos,
        width=windows.width,
        checks=(),
        origin=windows.origin(0),
    )


def estimate(windows: Windows, question: str, columns: dict[str, Any], draws: list[Any], **more: Any) -> Estimate:
    given: dict[str, Any] = {"checks": (Check(name="overlap", passed=True, says="98% overlap"),), "verdict": "answered"}
    return Estimate(
        question=question,
        draws=np.column_stack(draws).astype(np.float64),
        terms=pl.DataFrame(columns),
        unit="1",
        method="made by hand",
        assumptions=("the graph is right",),
        origin=windows.origin(0),
        **{**given, **more},
    )


def attribution_of(windows: Windows, **more: Any) -> Estimate:
    slo, (config, hardware) = windows.slos[0].name, windows.variables
    rng = np.random.default_rng(1)
    parts = {config.name: rng.normal(0.4, 0.05, 200), hardware.name: rng.normal(2.0, 0.2, 200)}
    total = np.full(200, 3.0)
    ledger = {**parts, "unexplained": total - sum(parts.values()), "total": total}
    roles = {config.name: "config", hardware.name: "hardware"}
    scale = {"events": 100.0, "burn": 1.0, "budget_hours": 24.0}
    keys = [(q, d) for q in scale for d in ledger]
    return estimate(
        windows,
        f"Who burnt the {slo} budget?",
        {
            "slo": [slo] * len(keys),
            "quantity": [q for q, _ in keys],
            "unit": [q for q, _ in keys],
            "driver": [d for _, d in keys],
            "role": [roles.get(d, "") for _, d in keys],
        },
        [scale[q] * ledger[d] for q, d in keys],
        **more,
    )


def effect_of(windows: Windows, sign: float = 1.0, level: str = "8", **more: Any) -> Estimate:
    slo, config = windows.slos[0].name, windows.variables[0].name
    rng = np.random.default_rng(2)
    base, at = rng.normal(0.02, 0.001, 200), rng.normal(0.02 + sign * 0.01, 0.001, 200)
    diff = at - base
    quantities = ["burn", "bad_share", "events", "budget_hours", "bad_share_at", "bad_share_at"]
    return estimate(
        windows,
        f"What would change in {slo} if {config} were {level} instead of 4?",
        {
            "slo": [slo] * 6,
            "quantity": quantities,
            "unit": ["1"] * 6,
            "of": [config] * 6,
            "baseline": ["4"] * 6,
            "level": [level] * 4 + ["4", level],
        },
        [diff / 0.02, diff, diff * 1e5, diff / 0.02 * 672, base, at],
        **more,
    )


def scenario_of(windows: Windows, *, changed: bool = True, **more: Any) -> Estimate:
    slo = windows.slos[0].name
    rng = np.random.default_rng(3)
    times = [END + timedelta(days=day) for day in range(1, 4)]
    walks = {"as is": np.cumsum(rng.normal(0.4, 0.1, (200, 3)), axis=1)}
    if changed:
        walks["changed"] = walks["as is"] - 0.3
        walks["difference"] = walks["changed"] - walks["as is"]
    rows = [(s, "spent", t, walk[:, i]) for s, walk in walks.items() for i, t in enumerate(times)]
    rows += [(s, q, times[-1], walk[:, -1] * 3) for s, walk in walks.items() for q in ("events", "burn", "bad_share")]
    return estimate(
        windows,
        "How much of each budget is spent 3 days from now?",
        {
            "slo": [slo] * len(rows),
            "quantity": [row[1] for row in rows],
            "unit": ["1"] * len(rows),
            "scenario": [row[0] for row in rows],
            "time": [row[2] for row in rows],
        },
        [row[3] for row in rows],
        **more,
    )


def refused(windows: Windows, question: str, says: str = "no window had it") -> Estimate:
    failed = Check(name="overlap", passed=False, says=says)
    return refusal(question, method="nothing", checks=[failed], origin=windows.origin(0))


def answers_of(windows: Windows, **more: Any) -> Answers:
    given: dict[str, Any] = {
        "budget": budget(windows),
        "attribution": attribution_of(windows),
        "effects": (effect_of(windows),),
        "asked": ((windows.variables[0].name, None),),
        "scenario": scenario_of(windows),
        "on": windows.slos[0].name,
        "during": DURING,
        "do": {windows.variables[0].name: "4"},
        "horizon": "3d",
    }
    return Answers(**{**given, **more})


PLAIN = ("ttft", "batch_size", "sm_clock_mhz", "serving")


@pytest.fixture(scope="module")
def plain() -> tuple[Windows, Answers, Report]:
    windows = windows_of(PLAIN)
    answers = answers_of(windows)
    return windows, answers, compose(windows, network_of(windows), answers)


def hostile_report(bad: str) -> Report:
    names = [f"{bad}{suffix}" for suffix in ("s", "c", "h", "o")]
    windows = windows_of(names, (bad, f"{bad}2"))
    answers = answers_of(
        windows,
        effects=(effect_of(windows, level=bad), refused(windows, f"What if {bad}?", bad)),
        asked=((names[1], None), (names[2], (bad,))),
        do={names[1]: bad},
        where=bad,
    )
    return compose(windows, network_of(windows, bad), answers, title=f"About {bad}")


@pytest.fixture(scope="module", params=range(len(HOSTILE)))
def hostile(request: pytest.FixtureRequest) -> tuple[str, Report]:
    return HOSTILE[request.param], hostile_report(HOSTILE[request.param])


class Page(HTMLParser):
    """Collect tags with their attributes, identifiers and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "img", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def assert_inert(html: str) -> Page:
    page = Page(html)
    assert page.open == []
    assert {"script", "img", "iframe", "object", "link", "a", "foreignobject", "image"}.isdisjoint(
        t for t, _ in page.tags
    )
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("href", "xlink:href", "src"):
            assert (attributes.get(name) or "#").startswith("#")
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    return page


def test_page_is_self_contained_and_small(plain: tuple[Windows, Answers, Report]) -> None:
    html = plain[2].html()
    page = assert_inert(html)
    assert len(html.encode()) < 1_000_000
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": policy}) in page.tags
    assert sum(tag == "svg" for tag, _ in page.tags) == 9
    assert sum(tag == "figure" for tag, _ in page.tags) == 5
    assert all(a.get("aria-label") for tag, a in page.tags if tag == "figure")
    assert "\x1b" not in html


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("bad", [HOSTILE[1], HOSTILE[-1], " ".join(HOSTILE)])
def test_labels_are_inert_in_html(bad: str) -> None:
    html = hostile_report(bad).html()
    assert_inert(html)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)


def test_labels_are_inert_in_text(hostile: tuple[str, Report]) -> None:
    text = hostile[1].text()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", repr(hostile[1]))


def test_labels_are_inert_in_markdown(hostile: tuple[str, Report]) -> None:
    text = hostile[1].markdown()
    allowed = {"<details>", "</details>", "<summary>", "</summary>"}
    unescaped = re.sub(r"\\.", "", text)
    assert set(re.findall(r"<[^>\n]*>", unescaped)) <= allowed
    assert "`" not in unescaped
    assert "$" not in unescaped
    assert "://" not in unescaped
    assert "](" not in unescaped
    widths: dict[int, int] = {}
    for number, line in enumerate(unescaped.splitlines()):
        if line.startswith("|"):
            widths[number] = line.count("|")
            assert widths.get(number - 1, widths[number]) == widths[number]


def test_labels_survive_json(hostile: tuple[str, Report]) -> None:
    bad, report = hostile
    text = report.json()
    assert text.isascii()
    assert "<" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)
    assert json.loads(text)["on"] == f"{bad}s"


def test_same_answers_same_bytes(plain: tuple[Windows, Answers, Report], tmp_path: Path) -> None:
    windows, answers, first = plain
    again = compose(windows, network_of(windows), answers)
    for write in ("json", "markdown", "text"):
        assert getattr(first, write)() == getattr(again, write)()
    page = first.html()
    assert page == again.html()
    first.save(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == page


def test_numbers_are_those_of_the_answers(plain: tuple[Windows, Answers, Report]) -> None:
    _, answers, report = plain
    sections = {section["key"]: section for section in report.facts["sections"]}
    frame = answers.attribution.frame(0.9)
    ledger = {row[0]: row for row in sections["attribution"]["tables"][0]["rows"]}
    for column, quantity in ((3, "events"), (4, "burn"), (5, "budget_hours")):
        for row in frame.filter(pl.col("quantity") == quantity).iter_rows(named=True):
            assert ledger[row["driver"]][column] == (row["mean"], row["low"], row["high"])
    burn = answers.effects[0].frame(0.9).row(0, named=True)
    assert sections["effects"]["tables"][0]["rows"][0][2] == (burn["mean"], burn["low"], burn["high"])
    ends = {row[1]: row for row in sections["scenario"]["tables"][0]["rows"]}
    last = answers.scenario.terms["time"].max()
    for scenario in ("as is", "changed"):
        spent = answers.scenario.select(quantity="spent", scenario=scenario, time=last)
        assert ends[scenario][2] == spent.chance(above=1)
        assert ends[scenario][3] == tuple(spent.frame(0.9).select("mean", "low", "high").row(0))
    row = answers.budget.table.row(0, named=True)
    assert sections["budgets"]["tables"][0]["rows"][0][1:5] == [row["total"], row["bad"], row["allowed"], row["spent"]]
    assert json.loads(report.json())["answers"]["attribution"] == answers.attribution.facts(0.9)


def test_share_of_change_sums_to_one(plain: tuple[Windows, Answers, Report]) -> None:
    rows = next(s for s in plain[2].facts["sections"] if s["key"] == "attribution")["tables"][0]["rows"]
    assert [row[0] for row in rows] == ["sm_clock_mhz", "batch_size", "unexplained", "total"]
    assert sum(row[2][0] for row in rows[:-1]) == pytest.approx(1.0)
    assert rows[-1][2] == (1.0, 1.0, 1.0)


def test_headline_says_who_and_when(plain: tuple[Windows, Answers, Report]) -> None:
    windows, answers, report = plain
    rows = windows.during(*DURING)
    burn = rows["ttft.bad"].sum() / rows["ttft.total"].sum() / 0.02
    headline = report.facts["headline"]
    assert headline.startswith(f"ttft burnt {burn:.2g} times its budget rate on 10 February 2026: ")
    parts = answers.attribution.select(quantity="burn", driver="sm_clock_mhz")
    assert f"sm_clock_mhz (hardware) explains {parts.draws.mean() / 3:.0%}" in headline
    assert "overspent on 14 February 2026" in headline
    chance = answers.scenario.select(quantity="spent", scenario="as is", time=END + timedelta(days=3)).chance(above=1)
    assert f"with probability {chance:.2f}" in headline
    after = answers.scenario.select(quantity="spent", scenario="changed", time=END + timedelta(days=3)).chance(above=1)
    assert "batch_size = 4 would cut the burn from" in headline
    assert headline.endswith(f"and that probability to {after:.2f}.")


def test_refusals_come_first_and_nothing_crashes() -> None:
    windows = windows_of(PLAIN)
    answers = answers_of(
        windows,
        attribution=refused(windows, "Who burnt it?", "the graph was falsified"),
        effects=(refused(windows, "What would 32 do?", "32 was never seen"),),
        scenario=refused(windows, "What happens next?", "one day of data"),
        do={},
    )
    report = compose(windows, network_of(windows), answers)
    assert report.facts["verdict"] == "bounded"
    assert "who burnt it could not be answered" in report.facts["headline"]
    assert "what happens next could not be answered" in report.facts["headline"]
    for write in (report.text, report.markdown, report.html):
        said = write()
        first = said.index("the graph was falsified")
        assert first < said.index("Budgets left</h2>" if write == report.html else "Budgets left")
        assert "32 was never seen" in said
        assert "one day of data" in said
    frame = report.frame()
    assert frame.filter(pl.col("verdict") == "refused").height == 3


def test_bounded_answers_show_what_failed() -> None:
    windows = windows_of(PLAIN)
    failed = (Check(name="switches", passed=False, says="only 5 changes"),)
    answers = answers_of(windows, effects=(effect_of(windows, verdict="bounded", checks=failed),))
    report = compose(windows, network_of(windows), answers)
    assert "BOUNDED: What would change" in report.text()
    assert "- **bounded**: What would change" in report.markdown()
    effects = next(s for s in report.facts["sections"] if s["key"] == "effects")
    assert effects["failed"] == [{"verdict": "bounded", "name": "batch_size: switches", "says": "only 5 changes"}]
    checks = next(s for s in report.facts["sections"] if s["key"] == "checks")
    assert ["switches", "only 5 changes", "effect 1"] in checks["tables"][0]["rows"]


def test_forecast_without_effects() -> None:
    windows = windows_of(PLAIN)
    answers = answers_of(windows, effects=(), asked=(), scenario=scenario_of(windows, changed=False), do={})
    report = compose(windows, network_of(windows), answers)
    assert [s.key for s in report.sections][:3] == ["budgets", "attribution", "scenario"]
    assert report.sections[2].title == "What happens next"
    assert "As things are" in report.sections[2].sentence
    assert_inert(report.html())


def test_no_change_is_not_blamed_on_anybody() -> None:
    windows = windows_of(PLAIN)
    flat = attribution_of(windows)
    answers = answers_of(windows, attribution=replace(flat, draws=np.zeros_like(flat.draws)))
    report = compose(windows, network_of(windows), answers)
    assert "nothing changed" in report.facts["headline"]
    assert "nothing to explain" in report.sections[1].sentence
    assert_inert(report.html())


def test_windows_without_events() -> None:
    windows = windows_of(PLAIN)
    empty = pl.lit(0, dtype=pl.Int64)
    windows = replace(windows, table=windows.table.with_columns(empty.alias("ttft.total"), empty.alias("ttft.bad")))
    report = compose(windows, network_of(windows), answers_of(windows))
    assert report.facts["headline"].startswith("ttft had no events on 10 February 2026")
    assert_inert(report.html())


def test_missing_owner_is_not_assessed() -> None:
    windows = windows_of(PLAIN[:3])
    report = compose(windows, network_of(windows), answers_of(windows))
    assert "not assessed" in report.sections[-1].sentence


@pytest.mark.parametrize(("ending", "write"), [("md", "markdown"), ("txt", "text"), ("json", "json")])
def test_save(ending: str, write: str, plain: tuple[Windows, Answers, Report], tmp_path: Path) -> None:
    path = tmp_path / f"monday.{ending}"
    path.write_text("old")
    plain[2].save(path)
    assert path.read_text(encoding="utf-8") == getattr(plain[2], write)()
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_save_says_what_is_wrong(plain: tuple[Windows, Answers, Report], tmp_path: Path) -> None:
    with pytest.raises(CausalrelError, match=r"'\.docx' is no format of a report; end the name in \.html"):
        plain[2].save(tmp_path / "monday.docx")
    with pytest.raises(CausalrelError, match=r"there is no directory '.*missing'; make it first"):
        plain[2].save(tmp_path / "missing" / "monday.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(CausalrelError, match="it is a directory"):
        plain[2].save(tmp_path / "folder.json")
    assert [item.name for item in tmp_path.iterdir()] == ["folder.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    save_text("old", path)
    with pytest.raises(UnicodeEncodeError):
        save_text("\ud800", path)
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("form", ["text", "md", "html", "json"])
def test_every_noun_is_rendered(form: str) -> None:
    windows = windows_of(PLAIN)
    nouns: list[Any] = [budget(windows), attribution_of(windows), refused(windows, "Why?"), network_of(windows).graph]
    for noun in [*nouns, windows]:
        said = render(noun, form)
        assert said.endswith(("\n", "</html>"))
        if form == "html":
            assert_inert(said)
        if form == "json":
            assert json.loads(said)["schema"] == f"causalrel/{type(noun).__name__.lower()}/1"
    assert "no window had it" in render(nouns[2], form)
    with pytest.raises(CausalrelError, match="format 'pdf'"):
        render(nouns[0], "pdf")


def test_command_asks_the_same_again(plain: tuple[Windows, Answers, Report]) -> None:
    _, answers, _ = plain
    named = replace(answers, asked=(("batch_size", ("4", 8.0)),), against=(START, DURING[0]), where="load > 1")
    asked = (
        "--every 1h --during 2026-02-10T00:00,2026-02-11T00:00 "
        "--against 2026-02-09T00:00,2026-02-10T00:00 --on ttft --effect batch_size=4,8 --where 'load > 1' "
        "--do batch_size=4 --horizon 3d --seed 7"
    )
    record = {"sources": {}, "every": "1h", "seed": 7}
    assert named.command(record) == f"causalrel report DATA {asked}"
    record["sources"] = {"data": "my logs", "slo": "llm-chat", "by": "node"}
    assert named.command(record) == f"causalrel report 'my logs' --slo llm-chat --by node {asked}"


def test_best_setting_is_the_one_that_helps_most() -> None:
    windows = windows_of(PLAIN)
    worse, better = effect_of(windows, sign=1.0), effect_of(windows, sign=-3.0, level="16")
    assert best_setting([worse], "ttft") == {"batch_size": 4.0}
    assert best_setting([worse, better], "ttft") == {"batch_size": 16.0}
    assert best_setting([refused(windows, "Why?")], "ttft") == {}
    assert best_setting([worse], "tpot") == {}


def test_worst_slo_and_overall_verdict() -> None:
    windows = windows_of(PLAIN)
    assert worst_slo(budget(windows), ["ttft"]) == "ttft"
    assert worst_slo(budget(windows), ["other"]) == "other"
    answered, no = attribution_of(windows), refused(windows, "Why?")
    assert [overall(x) for x in ([answered], [no], [answered, no])] == ["answered", "refused", "bounded"]


def test_tables_write_numbers_once() -> None:
    assert shown(None, "interval") == "-"
    assert shown(0.4996, "chance") == "0.50"
    assert aligned([1234.0, 5.0]) == ["1,230", "0"]
    assert aligned([]) == []
    assert aligned([0.0]) == ["0"]
    table = make_table("t", {"a": "text", "b": "percent_interval"}, [["x", None], ["y", (0.02, -0.01, 0.05)]])
    assert cells(table) == [["x", "-"], ["y", "2.0% [-1.0% to 5.0%]"]]
    assert cells(make_table("t", {"a": "text"}, [])) == []


def test_json_keeps_its_order_and_is_finite() -> None:
    assert to_json({"b": float("nan"), "a": {"d": 1, "c": START}}) == (
        '{\n  "b": null,\n  "a": {\n    "d": 1,\n    "c": "2026-02-09T00:00:00+00:00"\n  }\n}\n'
    )


def fitted(windows: Windows) -> Network:
    from causalrel.fitting import fit

    config, hardware = windows.variables
    graph = Graph.from_edges(
        [(config.name, "ttft"), (hardware.name, "ttft")],
        roles={config.name: "config", hardware.name: "hardware", "ttft": "outcome"},
    )
    variables = tuple(windows.variable(v.name) if v.name != "ttft" else v for v in graph.variables)
    return fit(windows, replace(graph, variables=variables))


def test_report_asks_what_its_reader_left_out() -> None:
    windows = windows_of(PLAIN)
    network = fitted(windows)
    stages: list[str] = []
    report = cr.report(windows, network, effects=[], horizon="1d", progress=stages.append)
    assert stages == ["budgets", "attribution", "what happens next", "writing"]
    assert report.facts["on"] == "ttft"
    assert report.facts["during"] == [END - timedelta(days=1), END]
    assert report.facts["do"] == {}
    assert report.json() == cr.report(windows, network, effects=[], horizon="1d").json()


def test_default_questions_are_refused_and_named_ones_raised() -> None:
    windows = windows_of(PLAIN)
    short = replace(windows, table=windows.table.filter(pl.col("time") < START + timedelta(hours=8)))
    network = fitted(windows)
    report = cr.report(short, network, effects=[], horizon="1d")
    assert report.facts["during"] == [START + timedelta(hours=6), START + timedelta(hours=8)]
    assert [row["verdict"] for row in report.facts["questions"]] == ["answered", "refused", "refused"]
    assert "3 are the least" in report.text()
    with pytest.raises(CausalrelError, match="3 are the least"):
        cr.report(short, network, during=(START, START + timedelta(hours=1)), effects=[])
    with pytest.raises(CausalrelError, match="no SLO in the network 'ttfl'; did you mean 'ttft'"):
        cr.report(windows, network, on="ttfl")
    with pytest.raises(CausalrelError, match="'noon' is not a time"):
        cr.report(windows, network, during=("noon", "midnight"))
    with pytest.raises(CausalrelError, match="the network holds no SLO"):
        cr.report(windows, replace(network, slos=()))
