"""Variables and their roles: one word that orders causes, names incidents and limits interventions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from causalrel import errors

Role = Literal["workload", "config", "hardware", "engine", "outcome"]
Kind = Literal["number", "count", "category", "events"]
#: What more of a cause does to its effect, all else equal.
Monotone = Literal["increasing", "decreasing"]

ROLES: tuple[Role, ...] = get_args(Role)
KINDS: tuple[Kind, ...] = get_args(Kind)

#: Causal order of the roles: a variable of a later tier never causes one of an earlier tier.
TIERS: dict[Role, int] = {"workload": 0, "config": 0, "hardware": 0, "engine": 1, "outcome": 2}

#: Roles an intervention may set.
SETTABLE: frozenset[Role] = frozenset({"config", "hardware"})

_DURATION = re.compile(r"([1-9][0-9]*)(s|m|h|d|w)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One column that may be a cause or an outcome.

    Parameters
    ----------
    name : str
        Column name, with its unit where it has one (``ttft_s``).
    role : {"workload", "config", "hardware", "engine", "outcome"}
        Place in the causal order.
    kind : {"number", "count", "category", "events"}
        What its values are; ``events`` is an SLO's bad events out of total.
    unit : str
        SI unit, ``"1"`` for a ratio, ``""`` for a category.
    otel : str
        OpenTelemetry or Prometheus name it is exported under, if any.

    Examples
    --------
    >>> Variable(name="batch_size", role="config", kind="count").settable
    True
    """

    name: str
    role: Role
    kind: Kind = "number"
    unit: str = ""
    otel: str = ""

    @property
    def tier(self) -> int:
        """Position of the role in the causal order (0, 1 or 2)."""
        return TIERS[self.role]

    @property
    def settable(self) -> bool:
        """Whether an intervention may set this variable."""
        return self.role in SETTABLE


def parse_duration(text: str, asked_by: str) -> timedelta:
    """Read a duration such as ``5m``, ``36h`` or ``7d``.

    Parameters
    ----------
    text : str
        A whole number and one of s, m, h, d, w.
    asked_by : str
        What the duration is for, named in the error.

    Returns
    -------
    datetime.timedelta
        The duration.

    Raises
    ------
    CausalrelError
        When the text is not a duration.

    Examples
    --------
    >>> parse_duration("5m", "every")
    datetime.timedelta(seconds=300)
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise errors.bad_question(
            f"{asked_by} '{text}' is not a duration", "write a whole number and one of s, m, h, d, w, such as 5m"
        )
    seconds = int(match[1]) * _UNITS[match[2]]
    if seconds > 100 * 366 * 86_400:
        raise errors.bad_question(f"{asked_by} '{text}' is longer than a century", "write a shorter duration")
    return timedelta(seconds=seconds)


def parse_time(value: datetime | str, asked_by: str) -> datetime:
    """Read a UTC time.

    Parameters
    ----------
    value : datetime.datetime or str
        A time, or ISO 8601 text; without a zone it is UTC.
    asked_by : str
        What the time is for, named in the error.

    Returns
    -------
    datetime.datetime
        The time in UTC.

    Raises
    ------
    CausalrelError
        When the text is no time.

    Examples
    --------
    >>> parse_time("2026-02-11T09:00", "during").hour
    9
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise errors.bad_question(
                f"{asked_by} '{value}' is not a time", "write one such as 2026-02-11T09:00"
            ) from None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def duration_text(width: timedelta) -> str:
    """Write a duration the way :func:`parse_duration` reads it.

    Parameters
    ----------
    width : datetime.timedelta
        A positive duration in whole seconds.

    Returns
    -------
    str
        The shortest text, such as ``5m``.

    Examples
    --------
    >>> duration_text(timedelta(hours=36))
    '36h'
    """
    seconds = int(width.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds % _UNITS[unit] == 0 and seconds:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"
