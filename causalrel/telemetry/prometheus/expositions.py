"""Text expositions, what a server answers at ``/metrics``, as samples.

An exposition tells values but seldom times. A comment ``# scraped_at: 2026-02-11T09:00:00Z`` (or seconds since 1970)
tells the time of what follows it, so scrapes may be appended to one file, each under its comment.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from causalrel import errors
from causalrel.telemetry.parts import Parts
from causalrel.telemetry.prometheus import number_of
from causalrel.telemetry.samples import Samples, placed
from causalrel.telemetry.series import split_series
from causalrel.telemetry.streams import text_lines

_LABELS = r'\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}'
_SAMPLE = re.compile(
    rf"\s*((?:[A-Za-z_:][\w:]*\s*)?(?:{_LABELS})?)\s*([+-]?[\w.+-]+)(?:\s+([+-]?[\d.]+(?:[eE][+-]?\d+)?))?\s*(?:#.*)?"
)
_NAMED = re.compile(r'\{\s*"((?:[^"\\]|\\.)*)"\s*(?:,|(?=\}))')
_SCRAPED = re.compile(r"#\s*scraped_at\s*[:=]?\s*(\S.*?)\s*", re.IGNORECASE)
_COMMENT = re.compile(r"#\s*(?:HELP|TYPE|UNIT)\s+\S+|#\s*EOF\s*|#\s*scraped_at\b.*", re.IGNORECASE)
#: Times from here on are milliseconds, as in the text format; lower ones are seconds, as in OpenMetrics.
_MILLISECONDS = 1e11
_LAST = 2**43


def is_exposition(lines: list[str]) -> bool:
    """Say whether the first lines of a text are those of an exposition.

    Parameters
    ----------
    lines : list of str
        The first lines.

    Returns
    -------
    bool
        Whether one declares a metric, or all that are no comments are samples.

    Examples
    --------
    >>> is_exposition(["# TYPE up gauge", "up 1"]), is_exposition(["up{job='a'} 1"]), is_exposition(["time,ttft_s"])
    (True, True, False)
    """
    kept = [line.strip() for line in lines if line.strip()]
    if any(_COMMENT.match(line) for line in kept if line.startswith("#")):
        return True
    told = [line for line in kept if not line.startswith("#")]
    return bool(told) and all(_reads(line) for line in told)


def _reads(line: str) -> bool:
    found = _SAMPLE.fullmatch(line)
    return bool(found and found[1].strip() and number_of(found[2]) is not None)


def read_expositions(paths: list[Path]) -> Parts:
    r"""Read text expositions in the Prometheus or the OpenMetrics format.

    Parameters
    ----------
    paths : list of pathlib.Path
        Files of one scrape or more, packed or not.

    Returns
    -------
    Parts
        Samples.

    Raises
    ------
    CausalrelError
        When a line is no sample, or samples carry no time.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scrape.prom"
    ...     _ = path.write_text('# scraped_at: 2026-02-11T00:00:00Z\nvllm:gpu_cache_usage_perc{engine="0"} 0.5\n')
    ...     read_expositions([path]).samples.row(0)[3:]
    ('vllm:kv_cache_usage_perc{engine="0"}', 0.5)
    """
    samples, parts = Samples(), Parts()
    timeless = 0
    for path in paths:
        timeless += _take(path, samples, parts.notes)
        if timeless:
            raise errors.unreadable(
                path,
                f"{timeless:,} of its samples carry no time",
                "begin each scrape with a line such as '# scraped_at: 2026-02-11T09:00:00Z'",
            )
    parts.samples = samples.frame(parts.notes, str(paths[0]))
    if parts.samples is None:
        raise errors.unreadable(paths[0], "it holds no samples", "scrape it again")
    return parts


def _take(path: Path, samples: Samples, notes: list[str]) -> int:
    """Take the samples of one file; return how many carry no time."""
    scraped: int | None = None
    timeless = 0
    for number, line in enumerate(text_lines(path), 1):
        text = line.strip()
        if text.startswith("#"):
            said = _SCRAPED.fullmatch(text)
            scraped = _when(said[1], path, number) if said else scraped
        elif text:
            found = _SAMPLE.fullmatch(text)
            value = number_of(found[2]) if found else None
            place = _place(found[1].strip()) if found and found[1].strip() else None
            if found is None or value is None or place is None:
                if line.endswith("\n"):
                    shown = f"line {number} is no sample ('{text[:60]}')"
                    raise errors.unreadable(path, shown, "save what the server answers at /metrics")
                notes.append(f"the last line of '{path.name}' was cut short and left out")
                continue
            micros = _micros(found[3]) if found[3] else scraped
            if micros is None:
                timeless += 1
            else:
                samples.add(micros, *place, value)
    return timeless


def _when(text: str, path: Path, number: int) -> int:
    """Return the time of a scrape in microseconds since 1970."""
    seconds = number_of(text)
    if seconds is not None and math.isfinite(seconds) and 0 < seconds < _LAST:
        return _micros(text) or 0
    try:
        made = datetime.fromisoformat(text)
    except ValueError:
        raise errors.unreadable(
            path, f"line {number} tells '{text[:40]}' for the time of its scrape", "write 2026-02-11T09:00:00Z"
        ) from None
    whole = (made if made.tzinfo else made.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds


def _micros(text: str) -> int | None:
    time = number_of(text)
    if time is None or not 0 < time < _LAST:
        return None
    return round(time * (1e3 if time >= _MILLISECONDS else 1e6))


@lru_cache(maxsize=65_536)
def _place(text: str) -> tuple[str | None, str | None, str, bool] | None:
    """Return where a series belongs; None for labels that are not in the notation."""
    named = _NAMED.match(text)
    if named:
        name = re.sub(r"\\(.)", lambda one: {"n": "\n"}.get(one[1], one[1]), named[1])
        text = "named{" + text[named.end() :]
    try:
        told, labels = split_series(text)
    except errors.CausalrelError:
        return None
    return placed(name if named else told, labels)
