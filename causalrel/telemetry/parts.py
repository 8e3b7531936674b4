"""Parts: what one reader made of the files it was given."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from causalrel import errors

#: Share of a column that may be impossible before the export is refused.
WRONG_SHARE = 0.01

#: Columns of requests that are never below zero and never endless.
MEASURED = ("prompt_tokens", "output_tokens", "cached_tokens", "queue_s", "ttft_s", "tpot_s", "e2e_s")


@dataclass(slots=True, kw_only=True)
class Parts:
    """Tables that files of one format hold, and what was assumed or left out on the way.

    Parameters
    ----------
    requests, samples, changes : polars.DataFrame or None
        In canonical columns, though not yet in canonical types; None where there are none.
    notes : list of str
        One sentence each.

    Examples
    --------
    >>> Parts().tables()
    {}
    """

    requests: pl.DataFrame | None = None
    samples: pl.DataFrame | None = None
    changes: pl.DataFrame | None = None
    notes: list[str] = field(default_factory=list)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the tables that are there, by name."""
        found = {"requests": self.requests, "samples": self.samples, "changes": self.changes}
        return {name: frame for name, frame in found.items() if frame is not None}


def measured(frame: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Make null what no measurement can be: a count or a time below zero, or an endless one.

    Parameters
    ----------
    frame : polars.DataFrame
        Requests.
    notes : list of str
        Takes how many there were, column by column.

    Returns
    -------
    polars.DataFrame
        The same rows.

    Raises
    ------
    CausalrelError
        When more than 1 % of a column is so, as clocks that disagree make it.

    Examples
    --------
    >>> said = []
    >>> measured(pl.DataFrame({"prompt_tokens": [5] * 99 + [-1]}), said)["prompt_tokens"].null_count(), said
    (1, ["1 'prompt_tokens' below zero or not finite was made null"])
    """
    for name in MEASURED:
        if name in frame.columns and frame.schema[name].is_numeric():
            column = pl.col(name)
            wrong = (column < 0) | ~column.is_finite()
            count, told = frame.select(wrong.sum(), column.count().alias("told")).row(0)
            if count > WRONG_SHARE * told:
                raise errors.bad_data(
                    f"{count:,} of {told:,} values of '{name}' are below zero or not finite",
                    "check the clocks and units of the export",
                )
            if count:
                frame = frame.with_columns(pl.when(~wrong).then(column).alias(name))
                tell(notes, count, f"'{name}'", "below zero or not finite was made null")
    return frame


def accounted(rows: int, untimed: int, repeated: int) -> str:
    """Say what became of every request that was read.

    Parameters
    ----------
    rows : int
        How many were read.
    untimed, repeated : int
        How many of them have no time, or repeat the request_id of another one that has.

    Returns
    -------
    str
        One sentence, in which the parts add up to the whole.

    Examples
    --------
    >>> accounted(10_000, 30, 100)
    '10,000 requests read: 9,870 used, 100 repeat an earlier request_id, 30 have no time'
    """
    said = [f"{rows:,} requests read: {rows - untimed - repeated:,} used"]
    said += [f"{repeated:,} repeat an earlier request_id"] if repeated else []
    return ", ".join([*said, *([f"{untimed:,} have no time"] if untimed else [])])


def tell(notes: list[str], count: int, one: str, what: str) -> None:
    """Put down how many things something was done to; nothing where there are none.

    Parameters
    ----------
    notes : list of str
        Takes the sentence.
    count : int
        How many.
    one : str
        What they are, one of them.
    what : str
        What was done, from the verb on in the singular.

    Examples
    --------
    >>> said = []
    >>> tell(said, 2000, "span", "was left out")
    >>> said
    ['2,000 spans were left out']
    """
    if count:
        plural = what.replace("was ", "were ", 1).replace("is ", "are ", 1) if count > 1 else what
        notes.append(f"{count:,} {one}{'' if count == 1 else 's'} {plural}")
