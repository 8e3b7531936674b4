"""Telemetry: requests, samples and change events in canonical columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from causalrel import display, errors
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
    notes : tuple of str
        What was assumed or repaired while reading, one sentence each.
    parts : tuple of polars.LazyFrame
        The same requests file by file, where they were read from several.

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
    notes: tuple[str, ...] = ()
    parts: tuple[pl.LazyFrame, ...] = ()

    def frame(self) -> pl.DataFrame:
        """Return the requests, collected.

        Returns
        -------
        polars.DataFrame
            One row an event.

        Raises
        ------
        CausalrelError
            When the file behind it turns out to be damaged.
        """
        return collected(self.requests, self.source)

    def __repr__(self) -> str:
        columns = ", ".join(self.requests.collect_schema().names())
        more = [name for name, lf in (("samples", self.samples), ("changes", self.changes)) if lf is not None]
        beside = " and ".join(more) or "no samples"
        return display.plain(f"Telemetry from {self.source}: requests ({columns}); {beside}")

    def _repr_html_(self) -> str:
        return display.frame_html(f"Telemetry from {self.source}: requests", self.requests.head(12).collect())


def collected(frame: pl.LazyFrame, source: str) -> pl.DataFrame:
    """Collect a lazy frame; what a damaged file makes of it becomes one sentence.

    Parameters
    ----------
    frame : polars.LazyFrame
        What to collect.
    source : str
        Where it comes from, named in the error.

    Returns
    -------
    polars.DataFrame
        Its rows.

    Raises
    ------
    CausalrelError
        When the rows cannot be read or computed.

    Examples
    --------
    >>> collected(pl.LazyFrame({"a": [1]}), "memory").height
    1
    """
    with damage_told(source):
        return frame.collect()


@contextmanager
def damage_told(source: str) -> Iterator[None]:
    """Make one sentence of what a damaged file does to the block.

    Parameters
    ----------
    source : str
        Where the rows come from, named in the error.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    CausalrelError
        When the rows cannot be read or computed.

    Examples
    --------
    >>> with damage_told("memory"):
    ...     rows = pl.LazyFrame({"a": [1]}).collect().height
    """
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as fault:
        said = str(fault).strip().partition("\n")[0].rstrip(".;")[:200]
        raise errors.unreadable(source, said, "export it again") from None
