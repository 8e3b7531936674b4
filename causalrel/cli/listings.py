"""What ``causalrel budget`` tells beside the ledger: alerts, expiry, exhaustion, phases, policy, expenses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from causalrel import display, errors
from causalrel.cli.options import Tell

if TYPE_CHECKING:
    from causalrel.budgets import Budget
    from causalrel.expenses import Expenses
    from causalrel.telemetry import Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A table under a title.

    Parameters
    ----------
    title : str
        What it lists, and as of when.
    caption : str
        What a row is.
    table : polars.DataFrame
        The rows.

    Examples
    --------
    >>> Listing(title="alerts", caption="one row a rule", table=pl.DataFrame({"slo": ["ttft"]})).frame().height
    1
    """

    title: str
    caption: str
    table: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """Return the table, lengths of time as text."""
        lengths = [
            pl.Series(name, [display.length(one) for one in self.table[name]], dtype=pl.String)
            for name, kind in self.table.schema.items()
            if kind == pl.Duration
        ]
        return self.table.with_columns(lengths).with_columns(pl.col(pl.Float64).round(6))

    def facts(self) -> dict[str, Any]:
        """Return title and rows."""
        return {"title": self.title, "rows": self.frame().to_dicts()}

    def __repr__(self) -> str:
        return display.plain(self.title)


def tell_of(budget: Budget, tell: Tell, phases: str | None, policy: str | None, seed: int) -> Any:
    """Return what was asked of a budget.

    Parameters
    ----------
    budget : Budget
        The budget.
    tell : Tell
        Which of its tables, where it is not the ledger.
    phases : str or None
        ``NAME=TIME,...``, or the variable whose changes start phases.
    policy : str or None
        ``ACTION=PROBABILITY,...``.
    seed : int
        Seed of what is drawn.

    Returns
    -------
    Budget, Estimate or Listing
        The answer.

    Raises
    ------
    CausalrelError
        When two things were asked at once, or one that cannot be read.

    Examples
    --------
    >>> import causalrel as cr
    >>> made = cr.budget(cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat")))
    >>> tell_of(made, Tell.budget, None, "freeze=0.8", 0).frame().columns
    ['slo', 'chance', 'action', 'threshold']
    """
    asked = [tell is not Tell.budget, phases is not None, policy is not None]
    if sum(asked) > 1:
        raise errors.bad_question("--tell, --phases and --policy each ask for one table", "ask for one at a time")
    if phases is not None:
        starts = _pairs(phases, "--phases") if "=" in phases else phases
        title, caption, table = "Budgets by phase", "one row an SLO, unit and phase", budget.phases(starts)
    elif policy is not None:
        rules = {name: _probability(level) for name, level in _pairs(policy, "--policy").items()}
        title, caption, table = "What the policy says", "one row an SLO", budget.decide(rules, seed)
    elif tell is Tell.alerts:
        title, caption, table = "Burn-rate alerts", "one row an SLO and rule", budget.alerts()
    elif tell is Tell.expires:
        title, caption, table = "What expires", "one row an SLO and day", budget.expires()
    elif tell is Tell.composites:
        title, caption, table = "Composite SLOs", "one row a composite", budget.composites()
    else:
        return budget.exhaustion(seed) if tell is Tell.exhaustion else budget
    return Listing(title=f"{title} as of {display.when(budget.as_of)} UTC", caption=caption, table=table)


def expenses_of(telemetry: Telemetry, tell: Tell, by: str | None, prices: str | None) -> Expenses:
    """Return what units cost.

    Parameters
    ----------
    telemetry : Telemetry
        Requests.
    tell : Tell
        Which table was asked.
    by : str or None
        Columns that make a unit, separated by commas.
    prices : str or None
        Price table, a YAML file.

    Returns
    -------
    Expenses
        One row a unit.

    Raises
    ------
    CausalrelError
        When prices were given to another table, or cannot be read.

    Examples
    --------
    >>> import causalrel as cr
    >>> expenses_of(cr.load_dataset("llm-canary"), Tell.expenses, "node", None).frame().height
    5
    """
    from causalrel.expenses import load_prices, tell_expenses

    if tell is not Tell.expenses:
        raise errors.bad_question("--prices belong to --tell expenses", "ask for that table")
    return tell_expenses(telemetry, by.split(",") if by else "service", load_prices(prices) if prices else None)


def _pairs(text: str, option: str) -> dict[str, str]:
    """Read ``NAME=VALUE,...``."""
    parts = [item.partition("=") for item in text.split(",")]
    if any(not sign or not name.strip() or not value.strip() for name, sign, value in parts):
        raise errors.bad_question(f"{option} '{text}' is no list of NAME=VALUE", "separate them by commas")
    return {name.strip(): value.strip() for name, _, value in parts}


def _probability(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise errors.bad_question(f"--policy '{text}' is no probability", "write ACTION=0.8") from None
