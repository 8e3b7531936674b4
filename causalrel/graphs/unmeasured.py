"""Hidden common causes that are believed to exist."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """A hidden common cause that is believed to exist.

    Parameters
    ----------
    name : str
        Its name; never a column of the data.
    affects : tuple of str
        Variables it causes.
    why : str
        The reason.

    Examples
    --------
    >>> Unmeasured(name="demand_mix", affects=("load", "prompt_tokens")).affects
    ('load', 'prompt_tokens')
    """

    name: str
    affects: tuple[str, ...]
    why: str = ""
