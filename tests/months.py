"""Made months of a service whose budget may run out: daily load, levels that remember, incidents, drift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from causalrel.graphs import Graph
from causalrel.slos import SLO
from causalrel.variables import Variable
from causalrel.windows import Windows

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 28
TARGET = 0.99
#: Kinds of months, and the log of the burn about which each starts, so that about half of each exhaust their budget.
CENTRES = {"steady": 0.0, "memory": -0.2, "bursts": -0.5, "drift": 0.0, "load": 0.0, "all": -0.9}
KINDS = tuple(CENTRES)
#: A kind that is made where it is asked for alone: weekends are worse or better than other days.
CENTRES |= {"week": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """Hours of one month.

    Parameters
    ----------
    kind : str
        What makes its level move.
    load, total, bad : ndarray of float64, shape (672,)
        Requests a second, events and bad events of each hour.
    """

    kind: str
    load: np.ndarray
    total: np.ndarray
    bad: np.ndarray

    @property
    def cost(self) -> np.ndarray:
        """Dollars a request of each hour: a cent, and idle time shared by those that came; NaN where none did."""
        came = np.where(self.load > 0, self.load, np.nan)
        return np.asarray(0.01 + 0.005 * self.load.mean() / came)

    @property
    def exhausted(self) -> float:
        """Hours until the month's budget was gone; infinity where it lasted."""
        spent, budget = np.append(0.0, self.bad.cumsum()), (1 - TARGET) * self.total.sum()
        if spent[-1] < budget:
            return np.inf
        first = int((spent >= budget).argmax())
        return float(first - 1 + (budget - spent[first - 1]) / (spent[first] - spent[first - 1]))

    def seen(self, days: int) -> Windows:
        """Give windows of the first days."""
        hours = days * 24
        table = pl.DataFrame(
            {
                "time": [START + timedelta(hours=hour) for hour in range(hours)],
                "unit": ["all"] * hours,
                "up.total": self.total[:hours].astype(np.int64),
                "up.bad": self.bad[:hours].astype(np.int64),
                "load": self.load[:hours],
                "cost_usd": self.cost[:hours],
            }
        ).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")), pl.col("cost_usd").fill_nan(None))
        slo = SLO(name="up", dimension="availability", target=TARGET, period=timedelta(days=DAYS))
        load = Variable(name="load", role="workload", unit="1/s")
        cost = Variable(name="cost_usd", role="outcome", unit="USD")
        return Windows(table=table, width=timedelta(hours=1), slos=(slo,), variables=(load, cost))


def graph() -> Graph:
    """Give the true graph of every month."""
    return Graph.from_edges([("load", "up")], roles={"load": "workload", "up": "outcome"}, name="month")


def remembering(rng: np.random.Generator, hours: float, sd: float, length: int) -> np.ndarray:
    """Draw a stationary level that forgets over some hours."""
    kept, made = np.exp(-1 / hours), np.empty(length)
    made[0] = rng.normal() * sd
    for i in range(1, length):
        made[i] = kept * made[i - 1] + sd * np.sqrt(1 - kept**2) * rng.normal()
    return made


def make_month(seed: int, kind: str | None = None) -> Month:
    """Draw a month; which kind where not given is drawn too."""
    rng = np.random.default_rng([seed, 77])
    kind = str(rng.choice(KINDS)) if kind is None else kind
    every = kind == "all"
    n = DAYS * 24
    hour = np.arange(n)
    swing, weekend = rng.uniform(0.1, 0.9), rng.uniform(0.0, 0.5)
    season = swing * np.sin(2 * np.pi * (hour / 24 - rng.uniform())) - weekend * (hour // 24 % 7 >= 5)
    load = np.exp(season + remembering(rng, 48, rng.uniform(0.02, 0.25), n))
    level = np.full(n, rng.normal(CENTRES[kind], 0.25))
    if kind == "load" or every:
        bend = rng.uniform(0.5, 2.0)
        level += bend * np.log(load) - np.log((np.exp(season) * np.exp(bend * season)).sum() / np.exp(season).sum())
    if kind == "week":
        level += rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.2) * ((hour // 24 % 7 >= 5) - 2 / 7)
        level += remembering(rng, 24, rng.uniform(0.05, 0.3), n)
    if kind == "memory" or every:
        level += remembering(rng, np.exp(rng.uniform(np.log(3), np.log(96))), rng.uniform(0.3, 1.0), n)
    if kind == "drift" or every:
        level += np.cumsum(rng.normal(size=n)) * rng.uniform(0.1, 0.3) / np.sqrt(24) + rng.normal() * 0.02 * hour / 24
    if kind == "bursts" or every:
        for at in np.flatnonzero(rng.random(n) < rng.uniform(0.05, 0.6) / 24):
            length = 1 + rng.geometric(1 / np.exp(rng.uniform(np.log(1), np.log(8))))
            level[at : at + length] += rng.gamma(2.0, rng.uniform(0.5, 1.2))
    scatter = rng.choice([0.0, 0.1, 0.5])
    noise = rng.gamma(1 / scatter, scatter, n) if scatter else np.ones(n)
    total = rng.poisson(load * np.exp(rng.uniform(np.log(100), np.log(5000))))
    share = (1 - TARGET) * np.exp(level) * noise
    bad = rng.binomial(total, np.minimum(share, 1.0))
    return Month(kind=kind, load=load, total=total.astype(float), bad=bad.astype(float))


def make_traced(seed: int, rates: pl.DataFrame) -> Month:
    """Make two weeks of bad events from public rates: half of a model's clients before a queue that is full at times.

    A request is bad where it waits for longer than it is served on average, as an M/M/c queue at each window's rate
    has it (Erlang 1917); the share that no server has room for is bad.
    """
    from scipy.special import gammaincc, gammaln

    rng = np.random.default_rng([seed, 78])
    model = str(rng.choice(["m-large", "m-small"]))
    mine = rates.filter(pl.col("model") == model)
    clients = mine["client"].unique().sort().to_numpy()
    some = mine.filter(pl.col("client").is_in(rng.permutation(clients)[: len(clients) // 2].tolist()))
    windows = 14 * 144
    rate = np.bincount(some["t_s"].to_numpy() // 600, weights=some["rate_rps"].to_numpy(), minlength=windows)[:windows]
    servers = float(rng.integers(4, 40))
    asked = rate / np.quantile(rate, rng.uniform(0.9, 0.999)) * servers * 0.95
    use = np.minimum(asked / servers, 0.999)
    offered = np.maximum(use * servers, 1e-9)
    full = np.exp(servers * np.log(offered) - offered - gammaln(servers + 1)) / (1 - use)
    waits = full / (full + gammaincc(servers, offered)) * np.exp(-servers * (1 - use))
    share = np.maximum(waits, 1 - servers / np.maximum(asked, 1e-9))
    total = rng.poisson(rate * 600 * min(1.0, 200 / rate.mean()))
    bad = rng.binomial(total, np.clip(share, 0.0, 1.0))
    hours = [x.reshape(-1, 6) for x in (rate, total, bad)]
    return Month(
        kind=model, load=hours[0].mean(axis=1), total=hours[1].sum(axis=1) * 1.0, bad=hours[2].sum(axis=1) * 1.0
    )
