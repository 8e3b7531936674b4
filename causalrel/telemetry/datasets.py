"""Shipped data sets: small telemetry with a card that says where it comes from and what is true in it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from causalrel import errors, shipped
from causalrel.telemetry import Telemetry
from causalrel.telemetry.tables import read


def load_dataset(name: str) -> Telemetry:
    """Read a shipped data set, its files checked against the hashes on its card.

    Parameters
    ----------
    name : str
        Its name, such as ``llm-canary``.

    Returns
    -------
    Telemetry
        Lazy.

    Raises
    ------
    CausalrelError
        When no data set has this name, or a file is not the one its card describes.

    Examples
    --------
    >>> load_dataset("llm-canary").source
    'llm-canary'
    """
    card = load_card(name)
    folder = shipped.root() / "datasets" / name
    for file, said in sorted(card["files"].items()):
        wanted = said["sha256"] if isinstance(said, dict) else said
        path = folder / file
        if not path.is_file():
            raise errors.file_not_found(path)
        if hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
            raise errors.bad_data(f"'{file}' of data set '{name}' is not the file its card describes", "install again")
    return replace(read(folder), source=name)


def load_card(name: str) -> dict[str, Any]:
    """Read the card of a shipped data set; every scalar is text.

    Parameters
    ----------
    name : str
        Its name, such as ``llm-canary``.

    Returns
    -------
    dict
        ``name``, ``files`` and what else the card tells.

    Raises
    ------
    CausalrelError
        When no data set has this name, or its card is not usable.

    Examples
    --------
    >>> load_card("llm-canary")["name"]
    'llm-canary'
    """
    known = shipped.names("datasets")
    if name not in known:
        raise errors.unknown_name(name, "data set", known)
    documents = shipped.load_yaml(shipped.root() / "datasets" / name / "card.yaml", "card")
    card = documents[0] if documents else None
    if not isinstance(card, dict) or not isinstance(card.get("files"), dict):
        raise errors.bad_spec(f"{name}/card.yaml", ["it must hold name and files"])
    return card
