"""The command line: the same verbs; stdout is the answer and nothing else."""

from __future__ import annotations

import sys
import warnings
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

import causalrel as cr
from causalrel import display, errors, shipped
from causalrel.cli import outlooks, states
from causalrel.cli.incidents import blame, drift, envelope
from causalrel.cli.inputs import ask, graph_of, network_of, slo_sets, telemetry_of, tell
from causalrel.cli.options import (
    FOLDERS,
    Against,
    As,
    Beside,
    By,
    Cluster,
    ColumnMap,
    Data,
    Design,
    DesignOf,
    Do,
    During,
    Every,
    Form,
    FormatOf,
    GraphName,
    On,
    Output,
    Per,
    Pool,
    Refuters,
    Search,
    Seed,
    Slo,
    Sum,
    Tell,
    Through,
    Where,
    complaint_of,
    do_of,
    levels_of,
    span_of,
)
from causalrel.cli.outputs import write, write_estimate, write_text
from causalrel.cli.reports import report, verify

app = typer.Typer(
    name="causalrel",
    help="Who burnt the error budget, why, and what a rollout would do.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> int:
    """Run the command line; the exit code is 0 answered, 1 a gate failed, 2 could not be answered.

    Returns
    -------
    int
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    usage_error: type[Exception] = typer.BadParameter.__mro__[1]
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
        return _say(complaint_of(fault))
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except MemoryError:
        return _say(errors.out_of_memory().message)
    except OSError as fault:
        if debug:
            raise
        return _say(errors.refused_by_system(fault).message)
    except BaseException as fault:
        if debug or not (isinstance(fault, Exception) or type(fault).__name__ == "PanicException"):
            raise
        return _say(_inside(fault))
    return code if isinstance(code, int) else 0


def _inside(fault: BaseException) -> str:
    """Say what failed inside; a thread that Polars cannot start for want of memory panics, with no MemoryError."""
    if not isinstance(fault, Exception) and "Resource temporarily unavailable" in str(fault):
        return errors.out_of_memory().message
    return f"causalrel failed inside ({type(fault).__name__}: {fault}); run again with --debug and report it"


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
def read(data: Data, slo: Slo = None, columns: ColumnMap = None, form: FormatOf = None, output: Output = None) -> None:
    """Say what is in an export: rows, span, gaps, repeats, columns, units, and which SLOs it can judge."""
    from causalrel.contents import summarise

    write(summarise(telemetry_of(data, columns), slo_sets(data, slo)), form, output)


@app.command()
def budget(
    data: Data,
    slo: Slo = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Time it is told at; end of data if not.")] = None,
    pool: Annotated[Pool, typer.Option("--pool", help="Pool the units' burns; nuts compiles a sampler.")] = Pool.none,
    tell: Annotated[Tell, typer.Option("--tell", help="Which table of the budget.")] = Tell.budget,
    phases: Annotated[str | None, typer.Option("--phases", help="NAME=START,... or a variable that changed.")] = None,
    policy: Annotated[str | None, typer.Option("--policy", help="ACTION=PROBABILITY,... of running out.")] = None,
    prices: Annotated[str | None, typer.Option("--prices", help="Price table of the expenses, a YAML file.")] = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Count every event: budget spent, left, and how fast it burns; or alerts, expiry, exhaustion, phases, policy."""
    from causalrel.cli.listings import expenses_of, tell_of

    if tell is Tell.expenses or prices is not None:
        write(expenses_of(telemetry_of(data, columns), tell, by, prices), form, output)
        return
    asked = ask(data, columns, slo, None, every, by, cluster)
    made = cr.budget(asked.windows, as_of=as_of, pool=pool.value, seed=seed)
    write(tell_of(made, tell, phases, policy, seed), form, output)


@app.command()
def discover(
    data: Data,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    tiers: Annotated[str | None, typer.Option("--tiers", help="Causal order, such as load,batch_size:queue_s.")] = None,
    lags: Annotated[int, typer.Option("--lags", min=0, help="Windows before that may cause a window.")] = 0,
    resamples: Annotated[int, typer.Option("--resamples", min=0, help="Block resamples.")] = 200,
    method: Annotated[Search, typer.Option("--method", help="What graphs are scored by.")] = Search.auto,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Learn a graph in the order of roles; the answer is a graph document (YAML)."""
    asked = ask(data, columns, slo, graph, every, by, cluster)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        found = cr.discover(
            asked.windows,
            asked.graph,
            tiers=[tier.split(",") for tier in tiers.split(":")] if tiers else None,
            lags=lags,
            resamples=resamples,
            method=method.value,
            seed=seed,
        )
    tell(tuple(str(warning.message) for warning in told))
    if output is not None and output.suffix in (".yaml", ".yml"):
        return write_text(found.to_yaml(), output)
    return write(found, form, output)


@app.command()
def refute(
    data: Data,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    level: Annotated[float, typer.Option("--level", help="Chance of refuting a right graph.")] = 0.05,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Test what a graph claims of the data, and tell which edge would mend it."""
    asked = ask(data, columns, slo, graph or "", every, by, cluster)
    write(cr.refute(asked.windows, graph_of(asked), level=level), form, output)


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
    cluster: Cluster = None,
    per: Annotated[str | None, typer.Option("--per", help="Tell the effect for each value of this column.")] = None,
    where: Where = None,
    through: Through = None,
    design: DesignOf = Design.graph,
    since: Annotated[str | None, typer.Option("--since", help="Of a rollout, the switch asked about.")] = None,
    beside: Beside = None,
    refuters: Refuters = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Estimate what setting one variable does to a budget."""
    asked = ask(data, columns, slo, graph or "", every, by, cluster)
    name, levels = levels_of(of)
    told: dict[str, Any] = {"levels": levels, "by": per, "where": where, "design": design.value, "since": since}
    told |= {"beside": beside or (), "refuters": refuters or (), "through": through}
    write_estimate(cr.effect(asked.windows, graph_of(asked), of=name, on=on, seed=seed, **told), form, output)


@app.command()
def attribute(
    data: Data,
    during: During = None,
    against: Against = None,
    on: On = None,
    per: Per = Sum.driver,
    slo: Slo = None,
    graph: GraphName = None,
    every: Every = None,
    by: By = None,
    columns: ColumnMap = None,
    cluster: Cluster = None,
    seed: Seed = 0,
    form: FormatOf = None,
    output: Output = None,
) -> None:
    """Say who burnt the budget in a span, or which change events did; the parts add up."""
    asked = ask(data, columns, slo, graph or "", every, by, cluster)
    span = span_of(during, "--during") or asked.during
    if span is None:
        raise errors.bad_question("attribute needs a span", "write --during START,END")
    network = network_of(asked, seed)
    told: dict[str, Any] = {"against": span_of(against, "--against"), "on": on, "by": per.value}
    write_estimate(cr.attribute(asked.windows, network, during=span, seed=seed, **told), form, output)


for verb in (
    blame,
    drift,
    envelope,
    outlooks.forecast,
    outlooks.whatif,
    outlooks.recommend,
    outlooks.bound,
    outlooks.twin,
    states.query,
    states.infer,
):
    app.command()(verb)


app.command()(report)
app.command()(verify)


@app.command()
def simulate(
    scenario: Annotated[str, typer.Argument(help="Scenario file, or the name of a shipped one.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory to write files into.")],
    days: Annotated[float | None, typer.Option("--days", help="Days to simulate.")] = None,
    do: Do = None,
    form: As = Form.parquet,
    seed: Seed = 0,
) -> None:
    """Simulate a fleet and write requests, samples and changes."""
    from causalrel.telemetry.writers import write_telemetry

    write_telemetry(cr.simulate(scenario, days=days, seed=seed, do=do_of(do)), output, form=form.value)


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="Name of a document, or FOLDER/NAME; none lists all.")] = None,
) -> None:
    """List what ships with causalrel, or print one document."""
    if name is None:
        rows = [[folder, ", ".join(shipped.names(folder))] for folder in FOLDERS]
        return write_text(display.text_table(["where", "names"], rows) + "\n", None)
    where, _, last = name.rpartition("/")
    found = [f for f in FOLDERS if last in shipped.names(f) and where in ("", f, f.rpartition("/")[2])]
    if not found:
        known = [other for folder in FOLDERS for other in shipped.names(folder)]
        raise errors.unknown_name(name, "shipped document", known)
    for folder in found[1:]:
        sys.stderr.write(f"note: {folder}/{last} bears the name too\n")
    return write_text(shipped.resolve(last, found[0], "document").read_text(encoding="utf-8"), None)
