"""Telemetry: requests, samples and change events in canonical columns."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from causalrel import display
from causalrel.variables import Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """What a service exported, lazily, in canonical columns.

    Parameters
    ----------
    requests : polars.LazyFrame
        One row an event: ``time`` (arrival, UTC, microseconds), then any canonical and unknown columns.
    samples : polars.LazyFrame or None
        ``time``, ``node``, ``service``, ``metric``, ``value``.
    changes : polars.LazyFrame or None
        ``time``, the unit keys, ``variable``, ``before``, ``after``.
    variables : tuple of Variable
        Columns of ``requests`` beyond the canonical ones that may be causes, with their role.
    source : str
        Where it was read or made, as a short name.

    Examples
    --------
    >>> import causalrel as cr
    >>> cr.load_dataset("llm-canary").source
    'llm-canary'
    """

    requests: pl.LazyFrame
    samples: pl.LazyFrame | None = None
    changes: pl.LazyFrame | None = None
    variables: tuple[Variable, ...] = ()
    source: str = "memory"

    def frame(self) -> pl.DataFrame:
        """Return the requests, collected.

        Returns
        -------
        polars.DataFrame
            One row an event.
        """
        return self.requests.collect()

    def __repr__(self) -> str:
        columns = ", ".join(self.requests.collect_schema().names())
        more = [name for name, lf in (("samples", self.samples), ("changes", self.changes)) if lf is not None]
        return display.plain(f"Telemetry from {self.source}: requests ({columns}); {' and '.join(more) or 'no samples'}")

    def _repr_html_(self) -> str:
        return display.frame_html(f"Telemetry from {self.source}: requests", self.requests.head(12).collect())
