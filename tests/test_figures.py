"""Figures draw what answers hold, never let a label become markup, and come out the same each time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from causalrel.budgets import budget
from causalrel.errors import CausalrelError
from causalrel.estimates import Check, Estimate, Origin, refusal
from causalrel.graphs import Edge, Graph, Unmeasured
from causalrel.graphs.documents import load_graph
from causalrel.networks import Network
from causalrel.reports import charts, diagrams, timelines
from causalrel.reports.figures import forest_svg, plot, svg
from causalrel.variables import Variable
from causalrel.windows import Windows

DAY = datetime(2026, 2, 11, tzinfo=UTC)
ORIGIN = Origin(version="0.1.0", seed=0, data="ab", span=(DAY, DAY), slos="cd")
HOSTILE = ("<img src=x onerror=alert(1)>", "</svg><script>x</script>", "$\\alpha$", "\x1b[2J", "$unpaired", "a & b")


def estimate(columns: dict[str, list[Any]], means: list[float]) -> Estimate:
    noise = np.random.default_rng(0).normal(0, 0.1, (100, 1))
    return Estimate(
        question="What happens?",
        draws=np.array(means)[None, :] + noise,
        terms=pl.DataFrame({"slo": ["ttft"] * len(means), "unit": ["1"] * len(means), **columns}),
        unit="1",
        method="by hand",
        assumptions=(),
        checks=(),
        verdict="answered",
        origin=ORIGIN,
    )


def attribution(driver: str = "clock") -> Estimate:
    drivers, roles = [driver, "unexplained", "total"], ["hardware", "", ""]
    return estimate({"quantity": ["burn"] * 3, "driver": drivers, "role": roles}, [2.0, 1.0, 3.0])


def effect(level: str = "8") -> Estimate:
    names = {"quantity": ["burn", "bad_share_at"], "of": ["batch"] * 2, "baseline": ["4"] * 2, "level": [level] * 2}
    return estimate(names, [1.0, 0.1])


def blamed(node: str = "search") -> Estimate:
    shares = {"node": [node, "none of these", "pay"], "share": [0.9, None, 0.1], "quantity": ["probability"] * 3}
    return estimate(shares, [0.8, 0.15, 0.05])


def scenario() -> Estimate:
    times = [DAY + timedelta(days=day) for day in (1, 2, 1, 2)]
    scenarios = ["as is", "as is", "changed", "changed"]
    return estimate({"quantity": ["spent"] * 4, "scenario": scenarios, "time": times}, [0.5, 1.2, 0.4, 0.8])


def windows() -> Windows:
    times = [DAY + timedelta(hours=hour) for hour in range(6)]
    frame = pl.DataFrame({"t": times, "n": [100] * 6, "bad": [0, 2, 4, 30, 2, 0], "batch": [4, 4, 8, 8, 4, 4]})
    return Windows.from_frame(frame, time="t", roles={"batch": "config"}, events={"ttft": ("n", "bad")})


def changed() -> Windows:
    row = {"time": DAY + timedelta(hours=2), "variable": "batch", "before": "4", "after": "8"}
    return replace(windows(), changes=pl.DataFrame([row]))


def graph() -> Graph:
    roles: Any = {"load": "workload", "batch": "config", "queue": "engine", "ttft": "outcome"}
    return Graph.from_edges([("load", "queue"), ("batch", "queue"), ("queue", "ttft"), ("load", "ttft")], roles=roles)


def network() -> Network:
    mechanisms: Any = ()
    width = timedelta(hours=1)
    return Network(graph=graph(), mechanisms=mechanisms, slos=(), width=width, checks=(), origin=ORIGIN)


@pytest.mark.parametrize(
    ("thing", "title"),
    [
        (attribution(), "clock explains"),
        (effect(), "What happens?"),
        (scenario(), "Probability that the ttft budget is gone by 2026-02-13 00:00 UTC"),
        (graph(), "graph: 4 variables, 4 causal edges"),
        (network(), "graph: 4 variables, 4 causal edges"),
        (windows(), "Share of bad events: ttft 6.3%"),
        (budget(windows()), "The budget of ttft is overspent by"),
    ],
)
def test_plot_draws_every_noun(thing: Any, title: str) -> None:
    before = dict(mpl.rcParams)
    made = plot(thing)
    assert isinstance(made, Axes)
    assert made.get_title(loc="left").replace("\n", " ").startswith(title)
    assert dict(mpl.rcParams) == before
    given = Figure().add_subplot()
    assert plot(thing, ax=given) is given
    assert not hasattr(mpl, "pyplot") or mpl.pyplot.get_fignums() == []


def test_plot_says_what_it_cannot_draw() -> None:
    with pytest.raises(CausalrelError, match="plot cannot draw a int; give a Budget, Estimate"):
        plot(3)  # type: ignore[arg-type]


def test_axes_have_labels_with_units() -> None:
    assert plot(attribution()).get_xlabel() == "change in burn (multiples of the budget rate)"
    assert plot(scenario()).get_ylabel() == "ttft budget used (%)"
    assert plot(windows()).get_ylabel() == "bad events (%)"
    assert plot(budget(windows())).get_ylabel() == "budget left (%)"


def test_a_refusal_is_drawn_as_its_reason() -> None:
    check = Check(name="overlap", passed=False, says="nothing $overlaps$")
    answer = refusal("Why?", method="none", checks=[check], origin=ORIGIN)
    made = plot(answer)
    assert made.get_title(loc="left") == "Refused: Why?"
    assert "nothing" in made.texts[0].get_text()
    assert "nothing $overlaps$" in svg(answer, name="x", size="wide")


def test_estimates_of_other_shapes_are_a_forest() -> None:
    made = plot(estimate({"quantity": ["burn", "burn"], "of_unit": ["a", "b"]}, [1.0, 2.0]))
    assert [label.get_text() for label in made.get_yticklabels()] == ["ttft burn a", "ttft burn b"]


def test_bars_are_as_long_as_the_means() -> None:
    answer = attribution()
    bars = [patch.get_width() for patch in plot(answer).patches]
    assert bars == pytest.approx(answer.frame()["mean"].to_list())


def test_blamed_nodes_are_bars_of_their_probabilities() -> None:
    answer = blamed()
    drawn = plot(answer)
    assert [patch.get_width() for patch in drawn.patches] == pytest.approx(answer.frame()["mean"].to_list())
    assert drawn.get_title(loc="left").startswith("search is the most likely to be behind ttft")
    assert [text.get_text() for text in drawn.texts][:2] == ["0.81, 90% of the excess", "0.16"]


@pytest.mark.parametrize("label", HOSTILE)
@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_labels_stay_text(label: str, size: Any) -> None:
    drawn = [
        svg(attribution(label), name="a", size=size),
        svg(effect(label), name="b", size=size),
        svg(blamed(label), name="e", size=size),
        svg(Graph(variables=graph().variables, edges=(), name=label), name="c", size=size),
        forest_svg([(label, 1.0, 0.5, 1.5)], xlabel="burn", name="d", size=size),
    ]
    for text in drawn:
        assert not re.search(r"<(script|img|image|a|foreignObject|style)\b", text)
        assert not re.search(r"<[^>]*\son\w+=", text)
        assert "\x1b" not in text
        assert not re.search(r'href="(?!#)', text)
        assert not re.search(r"url\((?!#)", text)
    if "$" in label:
        assert label in drawn[0]


def test_same_figure_same_bytes_and_own_identifiers() -> None:
    first, again, other = (svg(scenario(), name=name, size="wide") for name in ("a", "a", "b"))
    assert first == again
    assert all(name.startswith("a-") for name in re.findall(r'\bid="([^"]*)"', first))
    assert set(re.findall(r'\bid="([^"]*)"', first)).isdisjoint(re.findall(r'\bid="([^"]*)"', other))
    targets = set(re.findall(r"#(a-[^\")]*)", first))
    assert targets <= set(re.findall(r'\bid="([^"]*)"', first))


def test_same_bytes_in_another_process() -> None:
    program = (
        "import hashlib\n"
        "from causalrel.graphs.documents import load_graph\n"
        "from causalrel.reports.figures import forest_svg, svg\n"
        "rows = [(f'row {i}', i / 3, i / 7, i / 2) for i in range(5)]\n"
        "text = forest_svg(rows, xlabel='burn', name='f', size='narrow')\n"
        "text += svg(load_graph('llm-serving'), name='g', size='wide')\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_budget_figure_stacks_changes_left_and_burn() -> None:
    during = (DAY + timedelta(hours=2), DAY + timedelta(hours=4))
    text = svg(budget(changed()), name="x", size="wide", on="ttft", during=during)
    for word in ("batch", "budget left (%)", "burn of ttft", "14.4 page", "6 page", "1 on pace"):
        assert word in text


def test_plot_of_a_budget_stacks_the_same_panels() -> None:
    figure = plot(budget(changed())).figure
    assert [axes.get_ylabel().partition("\n")[0] for axes in figure.axes] == ["budget left (%)", "burn of ttft", ""]
    assert [label.get_text() for label in figure.axes[2].get_yticklabels()] == ["batch"]
    given = Figure().add_subplot()
    assert plot(budget(changed()), ax=given).get_ylabel() == "budget left (%)"
    assert given.figure.axes == [given]


def test_the_message_names_the_whole_slo() -> None:
    name = "time-to-first-token-of-paying-customers"
    frame = pl.DataFrame({"t": [DAY, DAY + timedelta(hours=1)], "n": [100, 100], "bad": [5, 5]})
    made = budget(Windows.from_frame(frame, time="t", roles={}, events={name: ("n", "bad")}))
    title = plot(made).get_title(loc="left").replace("\n", " ")
    assert title == f"The budget of {name} is overspent by 400%"


def test_shades_are_where_alerts_fire() -> None:
    rng = np.random.default_rng(0)
    hours = 9 * 24
    bad = rng.binomial(100, np.where(np.arange(hours) // 30 % 3 == 1, 0.2, 0.005))
    frame = pl.DataFrame({"t": [DAY + timedelta(hours=h) for h in range(hours)], "n": [100] * hours, "bad": bad})
    made = Windows.from_frame(frame, time="t", roles={}, events={"ttft": ("n", "bad")})
    spans = timelines.alerting(budget(made), "ttft")
    assert {which for which, _, _ in spans} == {"ticket"}
    halves = pl.concat([frame, frame.with_columns(pl.col("t") + timedelta(minutes=30))])
    made = Windows.from_frame(halves.sort("t"), time="t", roles={}, events={"ttft": ("n", "bad")})
    spans = timelines.alerting(budget(made), "ttft")
    assert {which for which, _, _ in spans} == {"page", "ticket"}
    for end in (DAY + timedelta(minutes=30 * k) for k in range(1, 2 * hours, 7)):
        fires = budget(made, as_of=end).alerts().filter("fires")["severity"].to_list()
        shown = [which for which, start, stop in spans if start <= end < stop]
        assert shown == ["page" if "page" in fires else "ticket"] * bool(fires)


def test_names_at_the_ends_of_eight_lines_do_not_overlap() -> None:
    hours, names = 24, [f"slo-{i}" for i in range(8)]
    times = [DAY + timedelta(hours=hour) for hour in range(hours)]
    counts = {f"{name}.bad": [(i % 3) // 2] * hours for i, name in enumerate(names)}
    frame = pl.DataFrame({"t": times, "n": [100] * hours, **counts})
    events = {name: ("n", f"{name}.bad") for name in names}
    axes = plot(budget(Windows.from_frame(frame, time="t", roles={}, events=events)))
    axes.figure.canvas.draw()  # type: ignore[attr-defined]
    texts = [text for text in axes.texts if text.get_text() in names]
    heights = sorted(axes.transData.transform((0, text.xyann[1]))[1] for text in texts)  # type: ignore[attr-defined]
    assert len(heights) == 8
    assert all(high - low > Text.get_window_extent(texts[0]).height for low, high in pairwise(heights))


def test_coarse_timelines_keep_every_event() -> None:
    made = budget(windows())
    frame, width = timelines.coarse(made.timeline, {"ttft": 0.01})
    assert width == timedelta(hours=1)
    assert frame["bad"].sum() == 38
    assert frame["burn"].max() == pytest.approx(30.0)
    long = pl.DataFrame(
        {
            "slo": "ttft",
            "time": pl.datetime_range(DAY, DAY + timedelta(days=28), "5m", closed="left", eager=True),
            "total": 10,
            "bad": 1,
            "spent": 0.5,
        }
    )
    frame, width = timelines.coarse(long, {"ttft": 0.01})
    assert frame.height <= 400
    assert frame["bad"].sum() == long.height


def test_change_lanes_put_rare_changes_first() -> None:
    rows = [
        {"time": DAY + timedelta(hours=h), "variable": v, "after": a}
        for h, v, a in [(0, "x", 1), (1, "x", 2), (0, "y", 3)]
    ]
    lanes = timelines.change_lanes(pl.DataFrame([*rows, {"time": DAY, "variable": "y", "after": 4}]))
    assert timelines.change_lanes(None) == []
    assert lanes == [("y", [(DAY, "3/4")]), ("x", [(DAY, "1"), (DAY + timedelta(hours=1), "2")])]


def test_labels_are_cut_and_without_mathematics() -> None:
    assert charts.safe("x" * 50, 10) == "xxxxxxx..."
    assert charts.wrapped("$a$ b", 80) == r"\$a\$ b"


def boxes(layout: diagrams.Layout) -> dict[str, tuple[float, float]]:
    return {slot: place for slot, place in layout.places.items() if ":" not in slot}


def busy() -> Graph:
    roles: dict[str, Any] = {f"w{i}": "workload" for i in range(8)} | {f"c{i}": "config" for i in range(6)}
    roles |= {f"e{i}": "engine" for i in range(10)} | {f"o{i}": "outcome" for i in range(6)}
    edges = [(f"w{i}", f"e{i}") for i in range(8)] + [(f"c{i}", f"e{i + 2}") for i in range(6)]
    edges += [(f"e{i}", f"e{i + 1}") for i in range(9)] + [(f"e{i}", f"o{i % 6}") for i in range(10)]
    return Graph.from_edges([*edges, ("w0", "c0"), ("w1", "o5")], roles=roles, unmeasured={"mood": ["w0", "o1"]})


@pytest.mark.parametrize("which", ["llm-serving", "llm-load-test", "busy"])
def test_no_two_boxes_overlap_and_edges_go_right(which: str) -> None:
    made = busy() if which == "busy" else load_graph(which)
    layout = diagrams.arrange(made)
    places = boxes(layout)
    for (x0, y0), (x1, y1) in pairwise(sorted(places.values())):
        assert x0 != x1 or y1 - y0 >= 0.99
    for edge, path in layout.paths:
        steps = [layout.places[slot][0] for slot in path]
        assert steps == sorted(steps), edge
    tiers = {v.name: v.tier for v in made.variables}
    columns = {tier: {places[name][0] for name in tiers if tiers[name] == tier} for tier in set(tiers.values())}
    for low, high in pairwise(sorted(columns)):
        assert max(columns[low]) < min(columns[high])


def test_no_label_leaves_its_box() -> None:
    made = busy()
    axes = plot(made)
    axes.figure.canvas.draw()  # type: ignore[attr-defined]
    names = [text for text in axes.texts if text.get_text() in made.names]
    assert len(names) == 30
    spans = sorted((text.get_window_extent() for text in names), key=lambda box: (box.x0, box.y0))
    for i, box in enumerate(spans):
        assert not any(box.overlaps(other) for other in spans[i + 1 :])


def test_untangling_never_adds_crossings() -> None:
    made = Graph.from_edges(
        [("a", "y"), ("b", "x")], roles={"a": "workload", "b": "workload", "x": "outcome", "y": "outcome"}
    )
    assert diagrams.arrange(made).columns in ((("a", "b"), ("y", "x")), (("b", "a"), ("x", "y")))


def test_hidden_causes_and_lags_are_told() -> None:
    base = graph()
    made = Graph(
        variables=base.variables,
        edges=(*base.edges, Edge(cause="queue", effect="queue", lag=1)),
        unmeasured=(Unmeasured(name="demand", affects=("load", "ttft")),),
    )
    assert diagrams.counted(made) == (
        "4 variables, 5 causal edges, 1 unmeasured cause (dashed); across windows, not drawn: queue -> queue (lag 1)"
    )
    assert "demand" in svg(made, name="x", size="wide")


def test_edges_of_unknown_direction_and_stated_ones_not_found_are_told_apart() -> None:
    edges = (
        Edge(cause="load", effect="ttft", support=0.9, source="data"),
        Edge(cause="load", effect="queue_s", support=0.4, oriented=False, source="data"),
        Edge(cause="queue_s", effect="ttft", support=0.01, why="queues make requests wait", source="a review"),
        Edge(cause="batch_size", effect="ttft", support=0.01, source="data"),
    )
    roles = {"load": "workload", "queue_s": "engine", "batch_size": "config", "ttft": "outcome"}
    variables = tuple(Variable(name=name, role=role) for name, role in roles.items())
    ax = plot(Graph(variables=variables, edges=edges, name="g"))
    said = (
        "g: 4 variables, 4 causal edges, 1 of unknown direction (dashed, without a head), 1 stated that the data do not"
    )
    assert ax.get_title(loc="left").replace("\n", " ").startswith(said)
    styles = [(line.get_color(), line.get_linestyle()) for line in ax.lines]
    assert styles == [("#555555", "-"), ("#555555", "--"), ("#b2182b", "--"), ("#555555", "-")]
    assert ax.lines[0].get_linewidth() > ax.lines[3].get_linewidth()


def response(bad: list[float], baseline: str = "4", share: bool = True) -> Estimate:
    levels = ["4", "8", "16"]
    names = {"quantity": ["burn", "burn", "bad_share", "bad_share", *["bad_share_at"] * 3]}
    names |= {"of": ["batch"] * 7, "baseline": [baseline] * 7, "level": [*levels[1:], *levels[1:], *levels]}
    changes = [value - bad[0] for value in bad[1:]]
    made = estimate(names, [*(20 * change for change in changes), *changes, *bad])
    noise = np.random.default_rng(0).normal(0, 0.002, (100, 3))
    draws = np.array(bad)[None, :] + noise
    change = draws[:, 1:] - draws[:, :1]
    return replace(made, draws=np.column_stack([20 * change, change, draws]))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (
            [0.09, 0.03, 0.08],
            "The bad share of ttft is lowest at batch 8, between the ends with probability above 0.99",
        ),
        (
            [0.03, 0.09, 0.04],
            "The bad share of ttft is highest at batch 8, between the ends with probability above 0.99",
        ),
        (
            [0.09, 0.06, 0.03],
            "lowest at batch 16, an end of what was asked (between the ends with probability below 0.01",
        ),
        ([0.09, 0.03, 0.03], "but whether that lies between the ends is not told"),
    ],
)
def test_a_response_says_its_shape(bad: list[float], says: str) -> None:
    ax = plot(response(bad))
    assert says in ax.get_title(loc="left").replace("\n", " ")
    assert ax.get_ylabel() == "bad events of ttft (%)"
    assert any("baseline" in text.get_text() for text in ax.texts)
    assert any("the objective allows 5%" in text.get_text() for text in ax.texts)


def test_the_band_of_a_response_holds_for_all_levels_at_once() -> None:
    answer = response([0.09, 0.03, 0.08])
    drawn = plot(answer).collections[1].get_segments()
    band = answer.select(quantity="bad_share_at").frame(0.9, together=True)
    assert [line[1][1] / 100 for line in drawn] == pytest.approx(band["high"].to_list())


def test_parts_of_an_effect_are_drawn_below_the_whole() -> None:
    names = {"quantity": ["burn"] * 3 + ["mediated_share"], "of": ["batch"] * 4, "baseline": ["4"] * 4}
    names |= {"level": ["8"] * 4, "path": ["total", "through", "direct", "through"], "mediators": ["queue_s"] * 4}
    answer = estimate(names, [2.0, 1.5, 0.5, 0.75])
    ax = plot(answer)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["total", "through queue_s", "past queue_s"]
    title = ax.get_title(loc="left").replace("\n", " ")
    assert title.startswith(f"{100 * answer.draws[:, 3].mean():.0f}% [")
    assert title.endswith("of what batch 8 vs 4 does to ttft goes through queue_s")


@pytest.mark.parametrize(("mean", "says"), [(2.0, "raises"), (-2.0, "lowers"), (0.0, "is not seen to change")])
def test_stages_of_a_rollout_are_drawn_and_the_whole_is_said(mean: float, says: str) -> None:
    names = {"quantity": ["burn"] * 2, "of": ["version"] * 2, "baseline": ["v1"] * 2, "level": ["v2"] * 2}
    ax = plot(estimate(names | {"when": ["all", "0 to 3 h since the switch"]}, [mean, mean]))
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["all windows reached", "0 to 3 h since the switch"]
    assert f"version v2 vs v1 {says} the burn of ttft" in ax.get_title(loc="left").replace("\n", " ")
