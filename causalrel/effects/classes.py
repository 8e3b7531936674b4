"""Classes: one question asked of each workload class, tenant or kind of hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.estimates import Check, Estimate, Verdict
from causalrel.graphs import Graph
from causalrel.windows import Windows

_MOST_CLASSES = 30


def classes_of(windows: Windows, graph: Graph, of: str, by: str) -> dict[str, Windows]:
    """Split windows by the values of a column that the treatment does not change.

    Parameters
    ----------
    windows : Windows
        The windows.
    graph : Graph
        Who may cause whom.
    of : str
        The treatment.
    by : str
        ``unit`` or a variable.

    Returns
    -------
    dict of str to Windows
        By value, in order.

    Raises
    ------
    CausalrelError
        When the column is unknown, the treatment or caused by it, or has too many values.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> graph = cr.load_graph("llm-serving").project(windows.names)
    >>> len(classes_of(windows, graph, "batch_size", "unit"))
    4
    """
    if by != "unit" and by not in windows.names:
        raise errors.unknown_variable(by, "effect: by", ["unit", *windows.names])
    if by == of:
        raise errors.bad_question(f"effect: by '{by}' is the treatment itself", "name another column")
    if by in graph.names and by in graph.descendants(of):
        raise errors.bad_question(f"effect: '{of}' changes '{by}', which cannot be a class", "name another column")
    column = windows.table[by]
    values = column.drop_nulls().unique().sort().to_list()
    if len(values) > _MOST_CLASSES:
        raise errors.bad_question(
            f"effect: '{by}' has {len(values):,} values, and {_MOST_CLASSES} classes can be told",
            "name a column with fewer, or narrow with where",
        )
    return {display.level(value): replace(windows, table=windows.table.filter(pl.col(by) == value)) for value in values}


def together(by: str, answers: Mapping[str, Estimate]) -> Estimate:
    """Put the answers of classes into one, with a key ``group``.

    Parameters
    ----------
    by : str
        What the classes are of.
    answers : mapping of str to Estimate
        One a class, their draws independent.

    Returns
    -------
    Estimate
        Answered where all are, refused where all are, else bounded.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="30m", by="node")
    >>> graph = cr.load_graph("llm-serving").project(windows.names)
    >>> answer = cr.effect(windows, graph, of="batch_size", levels=(4, 8), on="tpot", by="unit")
    >>> "group" in answer.terms.columns
    True
    """
    checks = tuple(
        Check(name=f"{by} {name}: {check.name}", passed=check.passed, says=check.says)
        for name, answer in answers.items()
        for check in answer.checks
    )
    told = [(name, answer) for name, answer in answers.items() if answer.verdict != "refused"]
    first = next(iter(answers.values()))
    if not told:
        return replace(first, checks=checks)
    verdict: Verdict = "answered" if all(answer.verdict == "answered" for answer in answers.values()) else "bounded"
    rngs = [np.random.default_rng([answer.origin.seed, 3, place]) for place, (_, answer) in enumerate(told)]
    return replace(
        told[0][1],
        draws=np.column_stack([rng.permutation(answer.draws) for rng, (_, answer) in zip(rngs, told, strict=True)]),
        terms=pl.concat([answer.terms.with_columns(group=pl.lit(name)) for name, answer in told]),
        checks=checks,
        verdict=verdict,
    )
