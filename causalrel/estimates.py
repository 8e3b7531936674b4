"""Answers: draws with their question, assumptions, checks and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from causalrel import display, errors
from causalrel.provenance import rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

Verdict = Literal["answered", "bounded", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing an answer stands on, and whether it held.

    Parameters
    ----------
    name : str
        A short name, such as ``overlap``.
    passed : bool
        Whether it held.
    says : str
        One sentence with the figures.

    Examples
    --------
    >>> Check(name="overlap", passed=True, says="98% of windows could have had either level").passed
    True
    """

    name: str
    passed: bool
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an answer comes from, enough to recompute it.

    Parameters
    ----------
    version : str
        Version of causalrel.
    seed : int
        Seed of the random generator.
    data : str
        Fingerprint of the windows.
    span : tuple of datetime
        First window start and last window end, UTC.
    slos : str
        Fingerprint of the SLOs.
    graph : str
        Fingerprint of the graph, empty where none was used.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2026, 2, 11, tzinfo=UTC)
    >>> Origin(version="0.1.0", seed=0, data="ab", span=(day, day), slos="cd").graph
    ''
    """

    version: str
    seed: int
    data: str
    span: tuple[datetime, datetime]
    slos: str
    graph: str = ""

    def facts(self) -> dict[str, Any]:
        """Return the origin as JSON-ready facts."""
        return {
            "version": self.version,
            "seed": self.seed,
            "data": self.data,
            "span": [self.span[0].isoformat(), self.span[1].isoformat()],
            "slos": self.slos,
            "graph": self.graph,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An answer as draws, or a refusal with its reason.

    Parameters
    ----------
    question : str
        The question as one sentence.
    draws : ndarray of float64, shape (n_draws, n_terms)
        Joint draws; no rows where the verdict is refused.
    terms : polars.DataFrame
        One row a term: ``slo``, ``quantity``, ``unit``, then its keys (driver, level, time, ...).
    unit : str
        Unit of the headline quantity.
    method : str
        How it was computed, in a sentence.
    assumptions : tuple of str
        What must be true for it.
    checks : tuple of Check
        What was tested.
    verdict : {"answered", "bounded", "refused"}
        Whether the draws answer the question.
    origin : Origin
        Where it comes from.
    decision : str
        What to do, where that was asked: ``ship``, ``canary`` or ``hold``, or the configuration recommended.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2026, 2, 11, tzinfo=UTC)
    >>> origin = Origin(version="0.1.0", seed=0, data="ab", span=(day, day), slos="cd")
    >>> terms = pl.DataFrame({"slo": ["ttft"], "quantity": ["burn"], "unit": ["1"]})
    >>> answer = Estimate(
    ...     question="How fast does ttft burn?",
    ...     draws=np.array([[0.9], [1.1], [1.3]]),
    ...     terms=terms,
    ...     unit="1",
    ...     method="three draws",
    ...     assumptions=(),
    ...     checks=(),
    ...     verdict="answered",
    ...     origin=origin,
    ... )
    >>> round(answer.chance(above=1.0), 3)
    0.667
    >>> answer.frame()["mean"].round(2).to_list()
    [1.1]
    """

    question: str
    draws: NDArray[np.float64]
    terms: pl.DataFrame
    unit: str
    method: str
    assumptions: tuple[str, ...]
    checks: tuple[Check, ...]
    verdict: Verdict
    origin: Origin
    decision: str = ""

    def __post_init__(self) -> None:
        """Hold draws and terms to one shape."""
        if self.draws.ndim != 2 or self.draws.shape[1] != self.terms.height:
            raise ValueError(f"draws of shape {self.draws.shape} do not fit {self.terms.height} terms")
        if self.verdict != "refused" and (self.draws.shape[0] == 0 or not np.isfinite(self.draws).all()):
            raise ValueError("an answer needs finite draws")

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    def frame(self, prob: float = 0.9, *, together: bool = False) -> pl.DataFrame:
        """Return each term with mean, sd, low and high of its interval.

        Parameters
        ----------
        prob : float
            Probability inside the interval, between 0 and 1.
        together : bool
            Whether all terms of one quantity are inside at once with that probability, by the largest standardised
            deviation of a draw (Montiel Olea and Plagborg-Moller 2019, doi:10.1002/jae.2656), rather than each alone.

        Returns
        -------
        polars.DataFrame
            The terms, then ``mean``, ``sd``, ``low``, ``high``; nulls where the answer is refused.
        """
        _check_prob(prob)
        if self.verdict == "refused":
            empty = [pl.lit(None, dtype=pl.Float64).alias(name) for name in ("mean", "sd", "low", "high")]
            return self.terms.with_columns(empty)
        low, high = self._band(prob) if together else np.quantile(self.draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
        return self.terms.with_columns(
            mean=pl.Series(self.draws.mean(axis=0)),
            sd=pl.Series(np.where(np.ptp(self.draws, axis=0) == 0, 0.0, self.draws.std(axis=0))),
            low=pl.Series(low),
            high=pl.Series(high),
        )

    def _band(self, prob: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give all terms of one SLO and quantity the same number of standard deviations."""
        mean, sd = self.draws.mean(axis=0), self.draws.std(axis=0)
        reach = np.zeros(len(mean))
        family = self.terms.select("slo", "quantity").rows()
        for one in set(family):
            mine = np.array([row == one for row in family]) & (sd > 0)
            if mine.any():
                largest = np.abs((self.draws[:, mine] - mean[mine]) / sd[mine]).max(axis=1)
                reach[mine] = np.quantile(largest, prob)
        return mean - reach * sd, mean + reach * sd

    def select(self, **keys: object) -> Estimate:
        """Return the terms whose keys have the given values.

        Parameters
        ----------
        **keys : object
            Column of ``terms`` and the value wanted, such as ``quantity="burn"``.

        Returns
        -------
        Estimate
            The same answer with fewer terms.

        Raises
        ------
        CausalrelError
            When no term has these keys.
        """
        for key in keys:
            if key not in self.terms.columns:
                raise errors.unknown_name(key, "key of a term", self.terms.columns)
        mask = pl.all_horizontal([pl.lit(True), *[pl.col(key) == value for key, value in keys.items()]])
        keep = self.terms.select(mask.fill_null(False).alias("keep"))["keep"].to_numpy()
        if not keep.any():
            raise errors.bad_question(
                f"no term has {', '.join(f'{k}={v}' for k, v in keys.items())}", "see .frame() for the terms"
            )
        return replace(self, draws=self.draws[:, keep], terms=self.terms.filter(pl.Series(keep)))

    def chance(self, above: float = 0.0) -> float:
        """Return the probability that the first term exceeds a value.

        Parameters
        ----------
        above : float
            The value.

        Returns
        -------
        float
            Share of the draws above it.

        Raises
        ------
        CausalrelError
            When the answer was refused.
        """
        if self.verdict == "refused":
            raise errors.refused(self.question, self.why)
        return float((self.draws[:, 0] > above).mean())

    def said(self, name: str) -> str:
        """Return what the check of a name says, nothing where there is none.

        Parameters
        ----------
        name : str
            Name of a check.

        Returns
        -------
        str
            Its sentence.
        """
        return next((check.says for check in self.checks if check.name == name), "")

    @property
    def why(self) -> str:
        """The failed checks in one line, empty where all held."""
        return "; ".join(check.says for check in self.failed)

    def facts(self, prob: float = 0.9) -> dict[str, Any]:
        """Return the answer as JSON-ready facts, the verdict first.

        Parameters
        ----------
        prob : float
            Probability inside each interval.

        Returns
        -------
        dict
            Floats at six significant digits.
        """
        facts: dict[str, Any] = {
            "verdict": self.verdict,
            "reason": self.why if self.verdict != "answered" else "",
            **({"decision": self.decision} if self.decision else {}),
            "question": self.question,
            "checks": [{"name": c.name, "passed": c.passed, "says": c.says} for c in self.checks],
            "terms": self.frame(prob).to_dicts(),
            "interval": prob,
            "unit": self.unit,
            "method": self.method,
            "assumptions": list(self.assumptions),
            "draws": self.draws.shape[0],
            "origin": self.origin.facts(),
        }
        done: dict[str, Any] = rounded(facts)
        return done

    def to_arviz(self) -> Any:
        """Return the draws as an ArviZ ``DataTree`` with one chain.

        Returns
        -------
        xarray.DataTree
            Group ``posterior`` with one variable per term.

        Raises
        ------
        CausalrelError
            When the answer was refused.
        """
        import arviz as az

        if self.verdict == "refused":
            raise errors.refused(self.question, self.why)
        names = [" ".join(str(v) for v in row if v is not None) for row in self.terms.drop("unit").rows()]
        return az.from_dict({"posterior": {n: self.draws[None, :, i] for i, n in enumerate(names)}})

    def __repr__(self) -> str:
        lines = [f"{self.verdict}: {self.question}"]
        lines += [f"decision: {self.said('decision')}"] if self.decision else []
        lines += [f"check failed: {check.name}: {check.says}" for check in self.failed]
        frame = self.frame()
        lines.append(display.text_table(frame.columns, frame.head(20).rows()))
        return "\n".join(display.plain(lines[i]) for i in range(len(lines) - 1)) + "\n" + lines[-1]

    def _repr_html_(self) -> str:
        failed = "".join(f"<li>{display.markup(f'{c.name}: {c.says}')}</li>" for c in self.failed)
        checks = f"<p>checks that failed</p><ul>{failed}</ul>" if failed else ""
        return display.frame_html(f"{self.verdict}: {self.question}", self.frame(), rows=20) + checks


def refusal(
    question: str, *, method: str, checks: Sequence[Check], origin: Origin, assumptions: Sequence[str] = ()
) -> Estimate:
    """Return the answer "no answer", with the failed checks as its reason.

    Parameters
    ----------
    question : str
        The question as one sentence.
    method : str
        What would have been done.
    checks : sequence of Check
        At least one failed check.
    origin : Origin
        Where the question was asked.
    assumptions : sequence of str
        What would have been assumed.

    Returns
    -------
    Estimate
        Verdict ``refused`` without draws or terms.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2026, 2, 11, tzinfo=UTC)
    >>> origin = Origin(version="0.1.0", seed=0, data="ab", span=(day, day), slos="cd")
    >>> check = Check(name="overlap", passed=False, says="no window had level 32")
    >>> refusal("What would 32 do?", method="none", checks=[check], origin=origin).verdict
    'refused'
    """
    terms = pl.DataFrame(schema={"slo": pl.String, "quantity": pl.String, "unit": pl.String})
    return Estimate(
        question=question,
        draws=np.zeros((0, 0)),
        terms=terms,
        unit="",
        method=method,
        assumptions=tuple(assumptions),
        checks=tuple(checks),
        verdict="refused",
        origin=origin,
    )


def _check_prob(prob: float) -> None:
    if not 0 < prob < 1:
        raise errors.bad_question(f"an interval of probability {prob} does not exist", "write one such as 0.95")
