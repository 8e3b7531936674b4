"""Reports: one dict of facts becomes text, Markdown, HTML and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from causalrel.networks import Network
from causalrel.reports.answers import Asked, Level, Span, gather
from causalrel.reports.documents import Report, Section, compose
from causalrel.reports.governance import assess
from causalrel.windows import Windows

__all__ = ["Report", "Section", "compose", "report"]


def report(
    windows: Windows,
    network: Network,
    *,
    during: Span | None = None,
    against: Span | None = None,
    on: str | None = None,
    effects: Asked | None = None,
    where: str | None = None,
    do: Mapping[str, Level] | None = None,
    horizon: str = "7d",
    title: str = "",
    sources: Mapping[str, str] | None = None,
    governance: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
    seed: int = 0,
) -> Report:
    """Write the causal attribution report: what is left, who burnt it, what settings do, what happens next.

    Parameters
    ----------
    windows : Windows
        The windows.
    network : Network
        A network fitted to them.
    during : tuple of datetime or str, optional
        The span to explain, UTC; the last 24 hours where the data span two days, else their last quarter.
    against : tuple of datetime or str, optional
        The span compared with; see :func:`causalrel.attribute`.
    on : str, optional
        The SLO it is about; the one with the largest share of its budget spent where not given.
    effects : sequence of (str, levels or None), optional
        Settings to judge; every configuration variable that varied where not given, its two most frequent levels.
    where : str, optional
        Predicate the effects are narrowed to.
    do : mapping of str to level, optional
        What the what-if sets; the better level of the setting that moves burn most where not given, and a forecast
        where no effect is known.
    horizon : str
        How far ahead, such as ``7d``.
    title : str
        Title; made from the span where empty.
    sources : mapping of str to str, optional
        What the inputs are named by, so that :func:`causalrel.verify` finds them again: ``data`` (a path, or the name
        of a shipped data set), ``slo``, ``graph``, ``by``, ``columns``.
    governance : mapping, optional
        What was assessed: text of ``privacy``, ``regulation``, ``human_review`` and ``energy_policy``; under ``slos``,
        by name of an SLO, ``owner``, ``consequence`` and ``budget_of``. The rest is told as not assessed.
    progress : callable, optional
        Told the name of each stage as it starts.
    seed : int
        Seed of every draw.

    Returns
    -------
    Report
        The report; a question that cannot be answered is told as refused, with the reason.

    Raises
    ------
    CausalrelError
        When something named is unknown or cannot be asked.

    Examples
    --------
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="2h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> made = cr.report(windows, network, on="tpot", effects=[], horizon="1d")
    >>> made.sections[1].title
    'Who burnt it'
    """
    assessed = assess(windows.slos, governance)
    answers = gather(
        windows,
        network,
        during=during,
        against=against,
        on=on,
        effects=effects,
        where=where,
        do=do,
        horizon=horizon,
        progress=progress,
        seed=seed,
    )
    if progress is not None:
        progress("writing")
    return compose(windows, network, answers, title=title, sources=sources, governance=assessed, seed=seed)
