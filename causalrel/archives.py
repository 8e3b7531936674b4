"""Archives: a fitted network as reviewable JSON beside one file of arrays, read back without running anything."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from causalrel import errors
from causalrel.bif import read_bif, write_bif
from causalrel.networks import Network
from causalrel.tabular import check_tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Version of the document; raised with every change that an older reader would misread.
SCHEMA = 1
_MOST_TEXT = 64 * 2**20
_MOST_NUMBERS = 2**28
_SECONDS = "seconds"
_BIF = ".bif"


def save_network(network: Network, path: str | Path) -> Path:
    """Write a network as ``path`` (JSON) and ``path`` with the ending ``.npz`` (arrays, no pickle).

    A path that ends in ``.bif`` gets the mean tables of a static network in the Bayesian interchange format instead.

    Parameters
    ----------
    network : Network
        The network.
    path : str or pathlib.Path
        Where the JSON goes, such as ``network.json``.

    Returns
    -------
    pathlib.Path
        What was written.

    Raises
    ------
    CausalrelError
        When the system refuses to write, or the format cannot hold the network.

    Examples
    --------
    >>> import tempfile
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sorted(path.name for path in save_network(network, f"{folder}/network.json").parent.iterdir())
    ['network.json', 'network.npz']
    """
    document = Path(path)
    if document.suffix.lower() == _BIF:
        return write_bif(network, document)
    arrays: dict[str, NDArray[Any]] = {}
    facts = _facts(network, arrays)
    try:
        with tempfile.TemporaryDirectory(dir=document.parent) as folder:
            held, told = Path(folder) / "arrays.npz", Path(folder) / "document"
            np.savez_compressed(held, allow_pickle=False, **arrays)
            text = {"schema": SCHEMA, "arrays": _digest(held.read_bytes()), "shapes": _shapes(arrays), "network": facts}
            text["fingerprint"] = _digest(_canonical(text))
            told.write_text(json.dumps(text, indent=1), encoding="utf-8")
            held.replace(document.with_suffix(".npz"))
            told.replace(document)
    except OSError as fault:
        raise errors.refused_by_system(fault) from None
    return document


def load_network(path: str | Path) -> Network:
    """Read a network that :func:`save_network` wrote, or one of tables in the format BIF.

    Parameters
    ----------
    path : str or pathlib.Path
        The JSON, its arrays beside it, or a file that ends in ``.bif``.

    Returns
    -------
    Network
        The same network; from BIF one of known tables.

    Raises
    ------
    CausalrelError
        When a file is absent, too large, of a newer version, changed since it was written, or holds what is no number.

    Examples
    --------
    >>> import tempfile
    >>> import causalrel as cr
    >>> windows = cr.window(cr.load_dataset("llm-canary"), cr.load_slos("llm-chat"), every="1h", by="node")
    >>> network = cr.fit(windows, cr.load_graph("llm-serving").project(windows.names))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load_network(save_network(network, f"{folder}/network.json"))
    >>> repr(again) == repr(network)
    True
    """
    document = Path(path)
    if document.suffix.lower() == _BIF:
        return read_bif(document)
    text = _read_text(document)
    arrays = _read_arrays(document.with_suffix(".npz"), document, text)
    try:
        made: Network = _made(text["network"], Network, arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise errors.unreadable(document, f"it is no network ({fault})", "save the network again") from None
    tables = {mechanism.variable.name: mechanism.table for mechanism in made.mechanisms if mechanism.table is not None}
    if tables:
        check_tables(made.graph, tables, document.name)
    return made


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _canonical(text: Mapping[str, Any]) -> bytes:
    kept = {key: value for key, value in text.items() if key != "fingerprint"}
    return json.dumps(kept, sort_keys=True, ensure_ascii=True).encode()


def _shapes(arrays: Mapping[str, NDArray[Any]]) -> dict[str, list[int]]:
    return {name: list(array.shape) for name, array in arrays.items()}


def _read_text(document: Path) -> dict[str, Any]:
    if not document.is_file():
        raise errors.file_not_found(document)
    if document.stat().st_size > _MOST_TEXT:
        raise errors.over_limit(f"'{document}' is larger than {_MOST_TEXT:,} bytes", "save a smaller network")
    try:
        text = json.loads(document.read_bytes())
    except (ValueError, RecursionError):
        raise errors.unreadable(document, "it is no JSON", "name the JSON of a saved network") from None
    if not isinstance(text, dict) or not isinstance(text.get("schema"), int):
        raise errors.unreadable(document, "it is no saved network", "name the JSON of a saved network")
    if text["schema"] > SCHEMA:
        what = f"it was saved with schema {text['schema']}, and this version reads up to {SCHEMA}"
        raise errors.unreadable(document, what, "update causalrel, or fit the network again")
    if text.get("fingerprint") != _digest(_canonical(text)):
        raise errors.unreadable(document, "it was changed since it was saved", "fit and save the network again")
    return text


def _read_arrays(held: Path, document: Path, text: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    if not held.is_file():
        raise errors.unreadable(document, f"its arrays '{held.name}' are missing", "copy both files")
    if _digest(held.read_bytes()) != text["arrays"]:
        raise errors.unreadable(
            held, "it is not the file that was saved with the JSON", "copy both files of one network"
        )
    if sum(int(np.prod(shape, dtype=object)) for shape in text["shapes"].values()) > _MOST_NUMBERS:
        raise errors.over_limit(f"the arrays of '{document}' hold over {_MOST_NUMBERS:,} numbers", "fit fewer draws")
    try:
        with np.load(held, allow_pickle=False) as file:
            arrays = {name: file[name] for name in text["shapes"]}
    except (ValueError, KeyError, OSError, EOFError):
        raise errors.unreadable(held, "it holds no plain arrays", "fit and save the network again") from None
    for name, array in arrays.items():
        if list(array.shape) != text["shapes"][name]:
            raise errors.unreadable(held, f"'{name}' has another shape than the JSON says", "save the network again")
        if array.dtype.kind not in "bif" or np.isnan(array).any():
            raise errors.unreadable(held, f"'{name}' holds values that are no numbers", "fit the network again")
    return arrays


def _facts(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return JSON-ready facts of nested dataclasses; arrays go aside and leave their name."""
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if is_dataclass(value):
        made = {field.name: _facts(getattr(value, field.name), arrays) for field in fields(value)}
        return {"is": type(value).__name__, **made}
    if isinstance(value, tuple):
        return [_facts(item, arrays) for item in value]
    if isinstance(value, timedelta):
        return {_SECONDS: value.total_seconds()}
    if isinstance(value, datetime):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def _made(facts: Any, kind: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return a value of a declared type from its facts; nothing else can be made."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType or str(origin) == "typing.Union":
        return _of_union(facts, inner, arrays)
    if is_dataclass(kind):
        return _of_dataclass(facts, kind, arrays)
    if origin is tuple:
        kinds = [inner[0]] * len(facts) if inner[1:] == (Ellipsis,) else inner
        return tuple(_made(item, each, arrays) for item, each in zip(facts, kinds, strict=True))
    if origin is Literal:
        if facts not in inner:
            raise ValueError(f"'{facts}' is none of {', '.join(map(str, inner))}")
        return facts
    plain: dict[Any, Callable[[Any], Any]] = {
        timedelta: lambda told: timedelta(seconds=told[_SECONDS]),
        datetime: datetime.fromisoformat,
        float: float,
    }
    if kind in plain:
        return plain[kind](facts)
    if kind in (str, int, bool, type(None)):
        if type(facts) is not kind:
            raise ValueError(f"'{facts}' is no {kind.__name__}")
        return facts
    return arrays[facts["array"]]


def _of_union(facts: Any, kinds: tuple[Any, ...], arrays: Mapping[str, NDArray[Any]]) -> Any:
    if facts is None:
        return None
    told = [kind for kind in kinds if kind is not type(None)]
    if isinstance(facts, dict) and "is" in facts:
        told = [kind for kind in told if getattr(kind, "__name__", "") == facts["is"]]
    return _made(facts, told[0], arrays)


def _of_dataclass(facts: Any, kind: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    from numpy.typing import NDArray

    names = [field.name for field in fields(kind)]
    if set(facts) != {"is", *names}:
        raise ValueError(f"a {kind.__name__} holds {', '.join(names)}")
    hints = get_type_hints(kind, localns={"NDArray": NDArray})
    return kind(**{name: _made(facts[name], hints[name], arrays) for name in names})
