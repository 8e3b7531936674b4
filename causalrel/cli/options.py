"""Options the verbs share, and what their text means."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args

import typer

from causalrel import errors, shipped

#: Where documents that ship are shown from.
*_MODELS, _DATASETS = get_args(shipped.Folder)
FOLDERS: tuple[shipped.Folder, ...] = (_DATASETS, *_MODELS)


class Format(StrEnum):
    """How an answer is written."""

    text = "text"
    md = "md"
    json = "json"
    html = "html"


class Pool(StrEnum):
    """How the units' burns borrow from each other."""

    none = "none"
    laplace = "laplace"
    nuts = "nuts"


class Search(StrEnum):
    """What graphs are scored by."""

    auto = "auto"
    discrete = "discrete"
    gaussian = "gaussian"
    pgmpy = "pgmpy"
    pgmpy_ges = "pgmpy-ges"
    pgmpy_pc = "pgmpy-pc"


class Design(StrEnum):
    """What an effect is told by."""

    graph = "graph"
    rollout = "rollout"
    interrupted = "interrupted"
    differences = "differences"
    synthetic = "synthetic"


DesignOf = Annotated[Design, typer.Option("--design", help="The graph, or a rollout told by its switches.")]
Beside = Annotated[
    list[str] | None, typer.Option("--beside", help="Estimator of DoWhy or EconML told beside; may be repeated.")
]
Refuters = Annotated[list[str] | None, typer.Option("--refuter", help="Refuter of DoWhy to ask; may be repeated.")]


class Tell(StrEnum):
    """What is told of a budget."""

    budget = "budget"
    alerts = "alerts"
    expires = "expires"
    exhaustion = "exhaustion"
    composites = "composites"
    expenses = "expenses"


class Sum(StrEnum):
    """What the parts of an attribution are summed over."""

    driver = "driver"
    role = "role"
    change = "change"


class Form(StrEnum):
    """How telemetry is written."""

    parquet = "parquet"
    otlp = "otlp"
    prometheus = "prometheus"


Data = Annotated[str, typer.Argument(metavar="DATA", help="A path, or the name of a shipped data set.")]
Slo = Annotated[str | None, typer.Option("--slo", help="OpenSLO file, or the name of a shipped one.")]
GraphName = Annotated[str | None, typer.Option("--graph", help="Graph file, or the name of a shipped one.")]
Every = Annotated[str | None, typer.Option("--every", help="Width of a window, such as 5m.")]
By = Annotated[str | None, typer.Option("--by", help="Columns that make a unit, separated by commas.")]
ColumnMap = Annotated[str | None, typer.Option("--columns", help="Column map for in-house logs, a file or a name.")]
Cluster = Annotated[
    str | None, typer.Option("--cluster", help="Dask scheduler that sums the requests, such as tcp://HOST:PORT.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of every random draw.")]
FormatOf = Annotated[Format | None, typer.Option("--format", help="Default: by the ending of -o, else text.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="File to write; - or nothing is stdout.")]
On = Annotated[str | None, typer.Option("--on", help="The SLO asked about.")]
During = Annotated[str | None, typer.Option("--during", help="START,END in UTC, such as 2026-02-15T09:00,2026-02-16.")]
Against = Annotated[str | None, typer.Option("--against", help="START,END to compare with.")]
Horizon = Annotated[str, typer.Option("--horizon", help="How far ahead, such as 7d.")]
Governance = Annotated[
    Path | None, typer.Option("--governance", help="What was assessed: consequences, payers, limits (YAML).")
]
Per = Annotated[Sum, typer.Option("--per", help="What the parts are summed over: drivers, roles or change events.")]
Where = Annotated[str | None, typer.Option("--where", help="Only windows that meet this predicate.")]
Effects = Annotated[list[str] | None, typer.Option("--effect", help="batch_size or batch_size=8,16; may be repeated.")]
Through = Annotated[list[str] | None, typer.Option("--through", help="Tell what goes through it; may be repeated.")]
As = Annotated[Form, typer.Option("--as", help="Parquet, OTLP JSON, or Prometheus (samples alone).")]
Do = Annotated[list[str] | None, typer.Option("--do", help="VARIABLE=VALUE, or load=load * 1.2; may be repeated.")]
Loss = Annotated[str | None, typer.Option("--loss", help="SHIP,HOLD: of harm shipped, of a fine change held; 10,1.")]
Simulator = Annotated[
    str | None, typer.Option("--scenario", help="Simulator to ask where nothing like it was seen: a name or YAML file.")
]
Runs = Annotated[Path, typer.Argument(help="Table of runs, one a row: Parquet, CSV or JSONL.")]
Believed = Annotated[
    str, typer.Option("--scenario", help="The simulator's account of the service: a name or YAML file.")
]
Metric = Annotated[str, typer.Option("--on", help="Number of the runs and of simulated requests, such as ttft_s.")]
Configured = Annotated[
    list[str], typer.Option("--at", help="VARIABLE=VALUE,... of one configuration; may be repeated.")
]
Days = Annotated[float | None, typer.Option("--days", help="Days to simulate each configuration.")]
Gate = Annotated[float | None, typer.Option("--gate", help="Exit 1 if P(any budget exhausted) is above this.")]
Over = Annotated[list[str], typer.Option("--over", help="batch_size or batch_size=4,8 to choose; may be repeated.")]
Metrics = Annotated[list[str], typer.Option("--of", help="Metric to bound, such as queue_s; may be repeated.")]
Bounded = Annotated[str, typer.Option("--on", help="The SLO that windows shall meet.")]
Share = Annotated[float, typer.Option("--p", help="Share of the windows below the bound that shall meet it.")]
Alarm = Annotated[float, typer.Option("--alarm", help="Chance of calling anything drifted where nothing is.")]
Along = Annotated[str | None, typer.Option("--along", help="Number along which the band is calibrated; the load.")]
Level = Annotated[float, typer.Option("--level", help="Probability inside the band.")]
Cost = Annotated[str, typer.Option("--cost", help="What a configuration costs, such as 'gpu_count * 2.5'.")]
Reach = Annotated[float, typer.Option("--p", help="Probability with which all SLOs shall be met.")]

DataOrNone = Annotated[str | None, typer.Argument(metavar="DATA", help="Path or shipped data set to fit to.")]
Nodes = Annotated[list[str] | None, typer.Option("--of", help="What is asked: queue_s, or queue_s@3; repeatable.")]
Inferred = Annotated[str, typer.Option("--of", help="The variable whose states are told.")]
Given = Annotated[list[str] | None, typer.Option("--given", help="What is seen: load=STATE, load@1=STATE; repeatable.")]
SetStates = Annotated[
    list[str] | None, typer.Option("--do", help="What is set: load=STATE or load=STATE:0.9,STATE:0.1; repeatable.")
]
StatesOf = Annotated[
    list[str] | None, typer.Option("--states", help="load=3 for so many, or queue_s=0.05,0.5 for cuts; repeatable.")
]
NetworkFile = Annotated[str | None, typer.Option("--network", help="Saved network (JSON), in place of fitting one.")]
Step = Annotated[int, typer.Option("--since", min=0, help="First step at which names in --do are set.")]
Since = Annotated[str | None, typer.Option("--since", help="From when --do sets; from the end if not said.")]
Ahead = Annotated[str | None, typer.Option("--horizon", help="How far to look past the last window, such as 6h.")]
Smooth = Annotated[bool, typer.Option("--smooth", help="Tell each window from all, not from those before alone.")]


def complaint_of(fault: Exception) -> str:
    """Say a parser's complaint as one sentence with what comes nearest.

    Parameters
    ----------
    fault : Exception
        What the parser raised.

    Returns
    -------
    str
        The sentence.

    Examples
    --------
    >>> complaint_of(ValueError("No such option: --sed. Did you mean '--seed'?"))
    "No such option: --sed; did you mean '--seed'?"
    """
    written = " ".join(getattr(fault, "format_message", lambda: str(fault))().split())
    said, _, offered = written.partition(" Did you mean ")
    said = said.partition(" (Possible")[0].rstrip(". ")
    close = [*(getattr(fault, "possibilities", None) or ()), *re.findall(r"'([^']+)'", offered)]
    return said + (f"; did you mean '{close[0]}'?" if close else "; see causalrel --help")


def levels_of(text: str) -> tuple[str, list[float | int | str] | None]:
    """Read a variable and its levels.

    Parameters
    ----------
    text : str
        ``batch_size`` or ``batch_size=8,16``.

    Returns
    -------
    name : str
        The variable.
    levels : list of str or None
        Levels, if any.

    Examples
    --------
    >>> levels_of("batch_size=8,16")
    ('batch_size', ['8', '16'])
    """
    name, _, levels = text.partition("=")
    return name.strip(), [level.strip() for level in levels.split(",")] if levels else None


def span_of(text: str | None, option: str) -> tuple[str, str] | None:
    """Read a span.

    Parameters
    ----------
    text : str or None
        ``START,END``.
    option : str
        Option it was given to, named in the error.

    Returns
    -------
    tuple of str or None
        Start and end.

    Raises
    ------
    CausalrelError
        When it is not two times.

    Examples
    --------
    >>> span_of("2026-02-15,2026-02-16", "--during")
    ('2026-02-15', '2026-02-16')
    """
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2:
        raise errors.bad_question(f"{option} '{text}' is not a span", "write START,END")
    return parts[0], parts[1]


def settings_of(item: str) -> dict[str, float | str]:
    """Read one configuration.

    Parameters
    ----------
    item : str
        ``VARIABLE=VALUE`` pairs with commas between.

    Returns
    -------
    dict of str to value
        Numbers where they are.

    Raises
    ------
    CausalrelError
        When a pair sets nothing.

    Examples
    --------
    >>> settings_of("batch_size=12,gpu_type=H100-SXM")
    {'batch_size': 12.0, 'gpu_type': 'H100-SXM'}
    """
    made: dict[str, float | str] = {}
    for pair in item.split(","):
        name, sign, value = (part.strip() for part in pair.partition("="))
        if not sign or not value:
            raise errors.bad_question(f"--at '{item}' is no configuration", "write VARIABLE=VALUE,VARIABLE=VALUE")
        try:
            made[name] = float(value)
        except ValueError:
            made[name] = value
    return made


def do_of(items: list[str] | None) -> dict[str, float | int | str] | None:
    """Read what to set.

    Parameters
    ----------
    items : list of str or None
        ``VARIABLE=VALUE`` each.

    Returns
    -------
    dict or None
        Value of each variable, as text.

    Raises
    ------
    CausalrelError
        When an item sets nothing.

    Examples
    --------
    >>> do_of(["gpu_count=gpu_count * 2"])
    {'gpu_count': 'gpu_count * 2'}
    """
    if not items:
        return None
    made: dict[str, float | int | str] = {}
    for item in items:
        name, sign, value = item.partition("=")
        if not sign or not value.strip():
            raise errors.bad_question(f"--do '{item}' sets nothing", "write VARIABLE=VALUE")
        made[name.strip()] = value.strip()
    return made


def gate_of(gate: float | None) -> float | None:
    """Read a gate.

    Parameters
    ----------
    gate : float or None
        A probability.

    Returns
    -------
    float or None
        The same.

    Raises
    ------
    CausalrelError
        When it is not between 0 and 1.

    Examples
    --------
    >>> gate_of(0.05)
    0.05
    """
    if gate is not None and not 0 < gate < 1:
        raise errors.bad_question(f"--gate {gate:g} is no probability to hold a risk against", "write one such as 0.05")
    return gate


def loss_of(text: str | None) -> tuple[float, float]:
    """Read the two losses of a decision.

    Parameters
    ----------
    text : str or None
        ``SHIP,HOLD``; the defaults where not given.

    Returns
    -------
    tuple of float
        Both.

    Raises
    ------
    CausalrelError
        When it is not two numbers.

    Examples
    --------
    >>> loss_of("20,1")
    (20.0, 1.0)
    """
    from causalrel.decisions import LOSS

    try:
        ship, hold = (float(part) for part in text.split(",")) if text is not None else LOSS
    except ValueError:
        raise errors.bad_question(f"--loss '{text}' is not two numbers", "write SHIP,HOLD, such as 10,1") from None
    return ship, hold
