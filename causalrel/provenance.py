"""Provenance: versions, fingerprints, and numbers written the same on every machine."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import polars as pl


def package_version() -> str:
    """Return the version of causalrel that is running.

    Returns
    -------
    str
        A version number, or ``"unknown"`` where the package is not installed.

    Examples
    --------
    >>> package_version() != ""
    True
    """
    try:
        return version("causalrel")
    except PackageNotFoundError:
        return "unknown"


def fingerprint(facts: object) -> str:
    """Return a short hash of JSON-ready facts, the same on every machine.

    Parameters
    ----------
    facts : object
        Anything ``json.dumps`` takes.

    Returns
    -------
    str
        Sixteen hexadecimal digits.

    Examples
    --------
    >>> fingerprint({"a": 1}) == fingerprint({"a": 1})
    True
    """
    text = json.dumps(facts, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def frame_fingerprint(frame: pl.DataFrame) -> str:
    """Return a short hash of a frame's values, floats at nine decimals.

    Parameters
    ----------
    frame : polars.DataFrame
        Any frame of scalars.

    Returns
    -------
    str
        Sixteen hexadecimal digits.

    Examples
    --------
    >>> frame_fingerprint(pl.DataFrame({"a": [0.1 + 0.2]})) == frame_fingerprint(pl.DataFrame({"a": [0.3]}))
    True
    """
    return hashlib.sha256(frame.write_csv(float_precision=9).encode()).hexdigest()[:16]


def rounded(value: Any) -> Any:
    """Return JSON-ready facts with floats at six significant digits and non-finite ones as None.

    Parameters
    ----------
    value : object
        Nested dicts, lists, tuples and scalars.

    Returns
    -------
    object
        The same shape, ready for JSON.

    Examples
    --------
    >>> rounded({"a": 1 / 3, "b": float("nan")})
    {'a': 0.333333, 'b': None}
    """
    if isinstance(value, dict):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") + 0.0 if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value
