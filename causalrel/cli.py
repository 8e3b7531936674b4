"""The command line: the same verbs; stdout is the answer and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import causalrel as cr
from causalrel import display, errors, shipped

if TYPE_CHECKING:
    from causalrel.estimates import Estimate
    from causalrel.graphs import Graph
    from causalrel.networks import Network
    from causalrel.windows import Windows


class Format(StrEnum):
    """How an answer is written."""

    text = "text"
    md = "md"
    json = "json"
    html = "html"


app = typer.Typer(
    name="causalrel",
    help="Who burnt the error budget, why, and what a rollout would do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[str, typer.Argument(metavar="DATA", help="A path, or the name of a shipped data set.")]
Slo = Annotated[str | None, typer.Option("--slo", help="OpenSLO file, or the name of a shipped one.")]
GraphName = Annotated[str | None, typer.Option("--graph", help="Graph file, or the name of a shipped one.")]
Every = Annotated[str | None, typer.Option("--every", help="Width of a window, such as 5m.")]
By = Annotated[str | None, typer.Option("--by", help="Columns that make a unit, separated by commas.")]
ColumnMap = Annotated[str | None, typer.Option("--columns", help="Column map for in-house logs, a file or a name.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of every random draw.")]
FormatOf = Annotated[Format | None, typer.Option("--format", help="Default: by the ending of -o, else text.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="File to write; - or nothing is stdout.")]
On = Annotated[str | None, typer.Option("--on", help="The SLO asked about.")]
During = Annotated[str | None, typer.Option("--during", help="START,END in UTC, such as 2026-02-15T09:00,2026-02-16.")]
Against = Annotated[str | None, typer.Option("--against", help="START,END to compare with.")]
Horizon = Annotated[str, typer.Option("--horizon", help="How far ahead, such as 7d.")]
Where = Annotated[str | None, typer.Option("--where", help="Only windows that meet this predicate.")]
Do = Annotated[list[str] | None, typer.Option("--do", help="VARIABLE=VALUE to set; may be repeated.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the shared options came to, a shipped data set's card filling what was not said."""

    windows: Windows
    graph: Graph | None
    during: tuple[str, str] | None


def main() -> int:
    """Run the command line; the exit code is 0 answered, 1 a gate failed, 2 could not be answered.

    Returns
    -------
    int
        The exit code.
    """
    usage_error = typer.BadParameter.__bases__[0]
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        code = app(arguments, standalone_mode=False)
        sys.stdout.flush()
    except errors.CausalrelError as fault:
        if debug:
            raise
        return _say(fault.message)
    except usage_error as fault:
        close = getattr(fault, "possibilities", None)
        hint = f"; did you mean '{close[0]}'?" if close else "; see causalrel --help"
        return _say(" ".join(str(getattr(fault, "message", fault)).split()).rstrip(".") + hint)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except Exception as fault:
        if debug:
            raise
        return _say(f"causalrel failed inside ({type(fault).__name__}: {fault}); run again with --debug and report it")
    return code if isinstance(code, int) else 0


def _say(message: str) -> int:
    sys.stderr.write(f"causalrel: {display.plain(message)}\n")
    return 2


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    del debug
    if version:
        from causalrel.provenance import package_version

        typer.echo(f"causalrel {package_version()}")
        raise typer.Exit


@app.command()
def read(data: Data, columns: ColumnMap = None, format: FormatOf = None, output: Output = None) -> None:
    """Say what is in an export: rows, span, columns, missing values."""
    from causalrel.telemetry.summary import summarise

    _write(summarise(_telemetry(data, columns)), format, output)


@app.command()
def budget(
    data: Data,
    slo: Slo = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Time the budget is told at; end of data if not.")] = None,
    pooled: Annotated[bool, typer.Option("--pooled", help="Pool the units' burn (compiles a sampler).")] = False,
    seed: Seed = 0,
    format: FormatOf = None,
    output: Output = None,
) -> None:
    """Count every event: budget spent, left, and how fast it burns."""
    asked = _asked(data, columns, slo, None, every, by)
    _write(cr.budget(asked.windows, as_of=as_of, pooled=pooled, seed=seed), format, output)


@app.command()
def discover(
    data: Data,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="Block resamples.")] = 20,
    seed: Seed = 0,
    format: FormatOf = None,
    output: Output = None,
) -> None:
    """Learn a graph in the order of roles; the answer is a graph document (YAML)."""
    asked = _asked(data, columns, slo, graph, every, by)
    found = cr.discover(asked.windows, asked.graph, resamples=resamples, seed=seed)
    if output is not None and output.suffix in (".yaml", ".yml"):
        return _text(found.to_yaml(), output)
    return _write(found, format, output)


@app.command()
def effect(
    data: Data,
    of: Annotated[str, typer.Option("--of", help="Variable set, with levels: batch_size or batch_size=8,16.")],
    on: Annotated[str, typer.Option("--on", help="The SLO, or a numeric outcome.")],
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    where: Where = None,
    seed: Seed = 0,
    format: FormatOf = None,
    output: Output = None,
) -> None:
    """Estimate what setting one variable does to a budget."""
    asked = _asked(data, columns, slo, graph or "", every, by)
    name, levels = _levels(of)
    found = cr.effect(asked.windows, _graph(asked), of=name, on=on, levels=levels, where=where, seed=seed)
    _answer(found, format, output)


@app.command()
def attribute(
    data: Data,
    during: During = None,
    against: Against = None,
    on: On = None,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    seed: Seed = 0,
    format: FormatOf = None,
    output: Output = None,
) -> None:
    """Say who burnt the budget in a span; the parts add up."""
    asked = _asked(data, columns, slo, graph or "", every, by)
    span = _pair(during, "--during") or asked.during
    if span is None:
        raise errors.bad_question("attribute needs a span", "write --during START,END")
    network = _network(asked, seed)
    found = cr.attribute(asked.windows, network, during=span, against=_pair(against, "--against"), on=on, seed=seed)
    _answer(found, format, output)


@app.command()
def forecast(
    data: Data,
    horizon: Horizon = "7d",
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    seed: Seed = 0,
    format: FormatOf = None,
    output: Output = None,
) -> None:
    """Say how much of each budget is spent by the horizon, as things are."""
    asked = _asked(data, columns, slo, graph or "", every, by)
    _answer(cr.forecast(asked.windows, _network(asked, seed), horizon=horizon, seed=seed), format, output)


@app.command()
def whatif(
    data: Data,
    do: Do = None,
    horizon: Horizon = "7d",
    gate: Annotated[
        float | None, typer.Option("--gate", min=0, max=1, help="Exit 1 if P(any budget exhausted) is above this.")
    ] = None,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    seed: Seed = 0,
    format: FormatOf = None,
    output: Output = None,
) -> None:
    """Say how much of each budget is spent if something were set differently."""
    asked = _asked(data, columns, slo, graph or "", every, by)
    network = _network(asked, seed)
    found = cr.whatif(asked.windows, network, do=_do(do) or {}, horizon=horizon, seed=seed)
    _answer(found, format, output)
    if gate is not None:
        scenario = "changed" if do else "as is"
        last = found.terms["time"].max()
        spent = found.select(quantity="spent", scenario=scenario, time=last)
        risk = float((spent.draws > 1).any(axis=1).mean())
        if risk > gate:
            sys.stderr.write(f"causalrel: P(a budget is exhausted) is {display.number(risk)}, above the gate of {gate}\n")
            raise typer.Exit(1)


@app.command()
def report(
    data: Data,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    during: During = None,
    against: Against = None,
    on: On = None,
    effects: Annotated[
        list[str] | None, typer.Option("--effect", help="batch_size or batch_size=8,16; may be repeated.")
    ] = None,
    where: Where = None,
    do: Do = None,
    horizon: Horizon = "7d",
    seed: Seed = 0,
    format: FormatOf = None,
    output: Output = None,
) -> None:
    """Write the causal attribution report."""
    with _progress() as told:
        told("reading")
        asked = _asked(data, columns, slo, graph or "", every, by)
        made = cr.report(
            asked.windows,
            _network(asked, seed),
            during=_pair(during, "--during") or asked.during,
            against=_pair(against, "--against"),
            on=on,
            effects=[_levels(item) for item in effects] if effects else None,
            where=where,
            do=_do(do),
            horizon=horizon,
            progress=told,
            seed=seed,
        )
        _write(made, format, output)


@app.command()
def simulate(
    scenario: Annotated[str, typer.Argument(help="Scenario file, or the name of a shipped one.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory to write Parquet files into.")],
    days: Annotated[float | None, typer.Option("--days", help="Days to simulate.")] = None,
    do: Do = None,
    seed: Seed = 0,
) -> None:
    """Simulate a fleet and write requests, samples and changes as Parquet."""
    from causalrel.telemetry.files import write_telemetry

    write_telemetry(cr.simulate(scenario, days=days, seed=seed, do=_do(do)), output)


@app.command()
def show(name: Annotated[str | None, typer.Argument(help="Name of something shipped; nothing lists all.")] = None) -> None:
    """List what ships with causalrel, or print one document."""
    folders: tuple[shipped.Folder, ...] = (
        "datasets",
        "models/graphs",
        "models/slos",
        "models/scenarios",
        "models/maps",
    )
    if name is None:
        rows = [[folder, ", ".join(shipped.names(folder))] for folder in folders]
        return _text(display.text_table(["where", "names"], rows) + "\n", None)
    for folder in folders:
        if name in shipped.names(folder):
            return _text(shipped.resolve(name, folder, "document").read_text(encoding="utf-8"), None)
    known = [other for folder in folders for other in shipped.names(folder)]
    raise errors.unknown_name(name, "shipped document", known)


def _telemetry(data: str, columns: str | None) -> Any:
    if data in shipped.names("datasets"):
        return cr.load_dataset(data)
    if not Path(data).exists() and "/" not in data and "." not in data:
        raise errors.unknown_data(data, shipped.names("datasets"))
    return cr.read(data, columns=columns)


def _asked(
    data: str, columns: str | None, slo: str | None, graph: str | None, every: str | None, by: str | None
) -> _Asked:
    """Read, load and window; ``graph`` None where the verb can do without one."""
    card: dict[str, Any] = {}
    if data in shipped.names("datasets"):
        from causalrel.telemetry.datasets import load_card

        card = load_card(data).get("report", {})
    telemetry = _telemetry(data, columns)
    slos = slo or card.get("slos")
    if slos is None:
        raise errors.bad_question("no SLO was named", "write --slo FILE, or the name of a shipped one")
    units = by.split(",") if by else card.get("by", "service")
    windows = cr.window(telemetry, cr.load_slos(slos), every=every or card.get("every", "5m"), by=units)
    for note in windows.notes:
        sys.stderr.write(f"note: {display.plain(note)}\n")
    named = graph or (card.get("graph") if graph is not None else None)
    if graph == "" and named is None:
        raise errors.bad_question("no graph was named", "write --graph FILE, or the name of a shipped one")
    believed = cr.load_graph(named) if named else None
    if believed is not None:
        missing = [name for name in believed.names if name not in windows.names]
        if missing:
            sys.stderr.write(f"note: the data lack {', '.join(missing)} of graph {believed.name}; marginalised out\n")
        believed = believed.project(windows.names)
    span = card.get("during")
    return _Asked(windows=windows, graph=believed, during=(span[0], span[1]) if span else None)


def _graph(asked: _Asked) -> Graph:
    if asked.graph is None:
        raise errors.bad_question("no graph was named", "write --graph FILE, or the name of a shipped one")
    return asked.graph


def _network(asked: _Asked, seed: int) -> Network:
    return cr.fit(asked.windows, _graph(asked), seed=seed)


def _levels(text: str) -> tuple[str, list[float | int | str] | None]:
    name, _, levels = text.partition("=")
    return name.strip(), [level.strip() for level in levels.split(",")] if levels else None


def _pair(text: str | None, option: str) -> tuple[str, str] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2:
        raise errors.bad_question(f"{option} '{text}' is not a span", "write START,END")
    return parts[0], parts[1]


def _do(items: list[str] | None) -> dict[str, float | int | str] | None:
    if not items:
        return None
    made: dict[str, float | int | str] = {}
    for item in items:
        name, sign, value = item.partition("=")
        if not sign or not value.strip():
            raise errors.bad_question(f"--do '{item}' sets nothing", "write VARIABLE=VALUE")
        made[name.strip()] = value.strip()
    return made


def _answer(found: Estimate, format: Format | None, output: Path | None) -> None:
    _write(found, format, output)
    if found.verdict == "refused":
        sys.stderr.write(f"causalrel: refused: {display.plain(found.why)}\n")
        raise typer.Exit(2)


def _write(answer: Any, format: Format | None, output: Path | None) -> None:
    from causalrel.reports.outputs import render

    endings = {".md": Format.md, ".json": Format.json, ".html": Format.html}
    chosen = format or (endings.get(output.suffix, Format.text) if output else Format.text)
    _text(render(answer, chosen.value), output)


def _text(text: str, output: Path | None) -> None:
    if output is None or str(output) == "-":
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        return
    from causalrel.reports.outputs import save_text

    save_text(text, output)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show stages on stderr while it is a terminal; say nothing otherwise."""
    if not sys.stderr.isatty():
        yield lambda stage: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=8)

        def told(stage: str) -> None:
            bar.update(task, description=display.plain(stage), advance=1)

        yield told
