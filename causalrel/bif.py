"""BIF: networks of tables as text in the Bayesian interchange format, names quoted where they need it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from causalrel import errors
from causalrel.documents import save_text
from causalrel.estimates import Check
from causalrel.graphs import Edge, Graph
from causalrel.graphs.surgery import checked
from causalrel.networks import Network
from causalrel.tables import States, Table, check_cells, known_table
from causalrel.tabular import table_network
from causalrel.variables import KINDS, ROLES, Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from causalrel.errors import CausalrelError

_Variable = tuple[Variable, States]
_Key = tuple[str, ...] | Literal["table", "default"]

_MOST_TEXT = 64 * 2**20
#: The farthest from 1 that a row may be through rounding in print.
_ROUNDED = 0.01
_EXACT = 1e-9
_OWN = "causalrel."
_RESERVED = frozenset({"network", "variable", "probability", "property", "type", "discrete", "default", "table"})
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_TOKEN = re.compile(
    r"""[\s,]+|//[^\n]*|/\*.*?\*/|(?P<quoted>"[^"]*")|(?P<mark>[;|(){}\[\]])|(?P<word>(?:(?!//|/\*)[^\s,;|(){}\[\]"])+)""",
    re.DOTALL,
)


def write_bif(network: Network, path: Path) -> Path:
    """Write the mean tables of a static network, every number to its last digit.

    What the format has no word for, roles, kinds and where numbers are cut, goes into its properties.

    Parameters
    ----------
    network : Network
        A network of tables without lags.
    path : pathlib.Path
        The file.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    CausalrelError
        When a mechanism is no table, an edge has a lag, or a name holds a quotation mark.

    Examples
    --------
    >>> import tempfile
    >>> coin = known_table(States(labels=("heads", "tails")), (), np.array([0.25, 0.75]))
    >>> network = table_network(Graph.from_edges([], roles={"a coin": "engine"}), {"a coin": coin})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = write_bif(network, Path(folder) / "coin.bif").read_text()
    >>> print(text.splitlines()[-2])
      table 0.25, 0.75;
    """
    tables = {m.variable.name: m.table for m in network.mechanisms if m.table is not None}
    if len(tables) < len(network.mechanisms) or network.graph.lags:
        raise errors.refused(
            f"'{path.name}' as BIF", "it holds tables alone, of causes in the same window; save as JSON"
        )
    parts = [f"network {_named(network.graph.name)} {{\n}}"]
    parts += [_variable_text(variable, tables[variable.name].states) for variable in network.graph.variables]
    parts += [_table_text(name, tables) for name in network.graph.names]
    save_text("\n".join(parts) + "\n", path)
    return path


def _named(name: str) -> str:
    if '"' in name:
        raise errors.bad_question(
            f"the name {name[:60]!r} cannot be written as BIF, which has no word for a quotation mark",
            "rename it, or save as JSON",
        )
    return name if _PLAIN.fullmatch(name) and name not in _RESERVED else f'"{name}"'


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(map(_named, names))


def _numbers(values: object) -> str:
    return ", ".join(repr(float(value)) for value in np.ravel(np.asarray(values)))


def _variable_text(variable: Variable, states: States) -> str:
    told: dict[str, str] = {"role": variable.role, "kind": variable.kind}
    told |= {key: _numbers(getattr(states, key)) for key in ("cuts", "values") if getattr(states, key)}
    if states.low is not None and states.high is not None:
        told["seen"] = _numbers((states.low, states.high))
    properties = "".join(f"  property {_OWN}{key} = {value} ;\n" for key, value in told.items())
    head = f"variable {_named(variable.name)} {{\n  type discrete [ {len(states.labels)} ]"
    return f"{head} {{ {_listed(states.labels)} }};\n{properties}}}"


def _table_text(name: str, tables: Mapping[str, Table]) -> str:
    table = tables[name]
    if not table.parents:
        return f"probability ( {_named(name)} ) {{\n  table {_numbers(table.mean)};\n}}"
    parents = [parent for parent, _ in table.parents]
    labels = [tables[parent].states.labels for parent in parents]
    rows = [
        f"  ( {_listed([own[i] for own, i in zip(labels, place, strict=True)])} ) {_numbers(table.mean[place])};"
        for place in np.ndindex(*table.mean.shape[:-1])
    ]
    return f"probability ( {_named(name)} | {_listed(parents)} ) {{\n" + "\n".join(rows) + "\n}"


def read_bif(path: Path) -> Network:
    """Read a network of known tables.

    Parameters
    ----------
    path : pathlib.Path
        A file in the format, version 0.15, of any tool; what is no table or state in it is passed over.

    Returns
    -------
    Network
        The network; its variables are of the role ``engine`` where the file does not say.

    Raises
    ------
    CausalrelError
        When the file is absent, too large or no BIF, a row is missing, there twice or no chances, or causes go in a
        circle.

    Examples
    --------
    >>> import tempfile
    >>> text = "variable a { type discrete [2] { no, yes }; } probability ( a ) { table 0.9, 0.1; }"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "x.bif").write_text(text)
    ...     read_bif(Path(folder) / "x.bif").mechanism("a").table.mean.tolist()
    [0.9, 0.1]
    """
    name, variables, rows = _blocks(_Text(path, _content(path)))
    states = {one: own for one, (_, own) in variables.items()}
    off: list[float] = []
    tables = {one: _table(found, states, off) for one, found in rows.items()}
    graph = Graph(
        variables=tuple(variable for variable, _ in variables.values()),
        edges=tuple(Edge(cause=parent, effect=one) for one, found in rows.items() for parent in found.parents),
        name=name,
    )
    network = table_network(checked(graph, path.name), tables)
    if not off:
        return network
    says = f"{len(off)} rows of '{path.name}' add up to 1 only as far as they are printed, and are divided by their sum"
    return replace(
        network, checks=(Check(name="chances", passed=True, says=f"{says} (off by {max(off):.2g} at most)"),)
    )


def _content(path: Path) -> str:
    if not path.is_file():
        raise errors.file_not_found(path)
    if path.stat().st_size > _MOST_TEXT:
        raise errors.over_limit(f"'{path}' is larger than {_MOST_TEXT:,} bytes", "save a smaller network")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise errors.unreadable(path, f"byte {fault.start} is no UTF-8", "save it as UTF-8") from None


@dataclass(slots=True)
class _Text:
    """A text and how far it is read."""

    path: Path
    text: str
    at: int = 0

    def take(self) -> tuple[str, bool]:
        """Return the next token and whether it is a name, not a mark; nothing at the end."""
        while self.at < len(self.text):
            found = _TOKEN.match(self.text, self.at)
            if found is None:
                raise self.fault("a quotation or a comment does not end")
            self.at = found.end()
            if found.lastgroup == "quoted":
                return found[0][1:-1], True
            if found.lastgroup is not None:
                return found[0], found.lastgroup == "word"
        return "", False

    def expect(self, *wanted: str) -> str:
        """Take one token that must be among some marks or words."""
        found = self.take()[0]
        if found not in wanted:
            raise self.fault(f"{found[:40]!r} stands where {' or '.join(map(repr, wanted))} belongs")
        return found

    def name(self) -> str:
        """Take one name."""
        found, named = self.take()
        if not named:
            raise self.fault(f"{found[:40]!r} stands where a name belongs")
        return found

    def names(self, end: str) -> list[str]:
        """Take names up to a mark."""
        taken: list[str] = []
        while True:
            found, named = self.take()
            if not named and found == end:
                return taken
            if not named and (found != "|" or end != ")"):
                raise self.fault(f"{found[:40]!r} stands where a name or '{end}' belongs")
            taken += [found] if named else []

    def numbers(self) -> tuple[NDArray[np.float64], int]:
        """Take numbers up to a semicolon, and the most digits that one has behind the point."""
        taken = self.names(";")
        try:
            values = np.array([float(one) for one in taken])
        except ValueError:
            raise self.fault("a chance is no number") from None
        places = [Decimal(one).as_tuple().exponent for one in taken]
        return values, max((-place for place in places if isinstance(place, int)), default=0)

    def line(self) -> str:
        """Take what stands before the next semicolon, as it is."""
        end = self.text.find(";", self.at)
        if end < 0:
            raise self.fault("a property does not end")
        start, self.at = self.at, end + 1
        return self.text[start:end].strip().strip('"')

    def fault(self, what: str) -> CausalrelError:
        """Return a refusal that names the line."""
        line = self.text.count("\n", 0, self.at) + 1
        return errors.unreadable(
            self.path, f"line {line}: {what}", "write it as BIF 0.15, odd names in quotation marks"
        )


@dataclass(slots=True, kw_only=True)
class _Rows:
    """What a block says of one variable: chances by states of its parents, as a whole table, or of all other rows."""

    text: _Text
    name: str
    parents: list[str]
    told: dict[_Key, NDArray[np.float64]] = field(default_factory=dict)
    digits: int = 0

    def chances(self, key: _Key, size: int) -> NDArray[np.float64]:
        """Return the chances under one key, refused where they are not as many."""
        if len(self.told[key]) != size:
            raise self.text.fault(f"'{self.name[:60]}' has {len(self.told[key])} chances where {size} belong")
        return self.told[key]


def _blocks(text: _Text) -> tuple[str, dict[str, _Variable], dict[str, _Rows]]:
    name, variables, rows = text.path.stem, dict[str, _Variable](), dict[str, _Rows]()
    while text.at < len(text.text):
        word = text.take()[0]
        if word == "network":
            name = text.name()
            text.expect("{")
            while text.expect("property", "}") != "}":
                text.line()
        elif word == "variable":
            variable, own = _variable(text)
            if variable.name in variables:
                raise text.fault(f"'{variable.name[:60]}' is there twice")
            variables[variable.name] = variable, own
        elif word == "probability":
            found = _probability(text)
            if found.name in rows:
                raise text.fault(f"the chances of '{found.name[:60]}' are there twice")
            rows[found.name] = found
        elif word:
            raise text.fault(f"{word[:40]!r} stands where 'network', 'variable' or 'probability' belongs")
    if not variables:
        raise text.fault("it holds no variable")
    unknown = sorted({n for found in rows.values() for n in (found.name, *found.parents)} - set(variables))
    if unknown:
        raise text.fault(f"'{unknown[0][:60]}' is no variable{errors.did_you_mean(unknown[0], variables)}")
    return name, variables, rows


def _variable(text: _Text) -> _Variable:
    name, labels, told = text.name(), list[str](), dict[str, str]()
    text.expect("{")
    while (word := text.expect("type", "property", "}")) != "}":
        if word == "property":
            key, _, value = text.line().partition("=")
            told[key.strip()] = value.strip()
            continue
        for mark in ("discrete", "["):
            text.expect(mark)
        size = text.name()
        for mark in ("]", "{"):
            text.expect(mark)
        labels = text.names("}")
        text.expect(";")
        if size != str(len(labels)):
            raise text.fault(f"'{name[:60]}' has {size[:20]} states and {len(labels)} names of states")
    own = {key.removeprefix(_OWN): value for key, value in told.items() if key.startswith(_OWN)}
    role, kind = own.get("role", "engine"), own.get("kind", "category")
    try:
        if role not in ROLES or kind not in KINDS:
            raise ValueError
        return Variable(name=name, role=role, kind=kind), _states(tuple(labels), own)
    except ValueError:
        raise text.fault(f"a property of '{name[:60]}' does not fit its states, or is none of the format") from None


def _states(labels: tuple[str, ...], own: Mapping[str, str]) -> States:
    parts = {key: tuple(float(one) for one in own[key].split(",")) for key in ("cuts", "values", "seen") if key in own}
    sizes = {"cuts": len(labels) - 1, "values": len(labels), "seen": 2}
    if any(len(part) != sizes[key] or not np.isfinite(part).all() for key, part in parts.items()):
        raise ValueError
    low, high = parts.pop("seen", (None, None))
    if (np.diff(parts.get("cuts", ())) <= 0).any():
        raise ValueError
    return States(labels=labels, low=low, high=high, **parts)


def _probability(text: _Text) -> _Rows:
    text.expect("(")
    head = text.names(")")
    if not head:
        raise text.fault("a block of chances names no variable")
    rows = _Rows(text=replace(text), name=head[0], parents=head[1:])
    text.expect("{")
    while (word := text.expect("table", "default", "property", "(", "}")) != "}":
        if word == "property":
            text.line()
            continue
        key: _Key = tuple(text.names(")")) if word == "(" else "table" if word == "table" else "default"
        chances, digits = text.numbers()
        rows.digits = max(rows.digits, digits)
        if key in rows.told or "table" in rows.told or (key == "table" and rows.told):
            raise text.fault(f"chances of '{rows.name[:60]}' are there twice")
        rows.told[key] = chances
    return rows


def _table(rows: _Rows, states: Mapping[str, States], off: list[float]) -> Table:
    labels = [states[parent].labels for parent in rows.parents]
    own = states[rows.name].labels
    shape = (*map(len, labels), len(own))
    check_cells(rows.name, shape)
    if "table" in rows.told:
        # The variable itself turns slowest, its last parent fastest.
        mean = np.moveaxis(rows.chances("table", math.prod(shape)).reshape(shape[-1], *shape[:-1]), 0, -1).copy()
    else:
        mean = np.full(shape, np.nan)
        if "default" in rows.told:
            mean[...] = rows.chances("default", shape[-1])
        places = [{label: i for i, label in enumerate(each)} for each in labels]
        for key in rows.told:
            if isinstance(key, tuple):
                if len(key) != len(places) or any(one not in each for one, each in zip(key, places, strict=True)):
                    what = f"the row {', '.join(key)[:60]} of '{rows.name[:60]}' is of no states of its causes"
                    raise rows.text.fault(what)
                at = tuple(each[one] for one, each in zip(key, places, strict=True))
                mean[at] = rows.chances(key, shape[-1])
        gaps = np.argwhere(np.isnan(mean).all(axis=-1))
        if len(gaps):
            said = ", ".join(each[i] for each, i in zip(labels, gaps[0], strict=True))
            raise rows.text.fault(f"'{rows.name[:60]}' has no chances given {said[:60] or 'nothing'}")
    return known_table(states[rows.name], [(parent, 0) for parent in rows.parents], _rounded(mean, rows.digits, off))


def _rounded(mean: NDArray[np.float64], digits: int, off: list[float]) -> NDArray[np.float64]:
    """Divide rows by their sum where printing with so many digits can have taken it off 1; leave others as they are."""
    sums = mean.sum(axis=-1, keepdims=True)
    far = np.abs(sums - 1.0)
    mend = (far > _EXACT) & (far < min(_ROUNDED, mean.shape[-1] * 0.5 * 10.0**-digits + _EXACT))
    off += far[mend].tolist()
    return mean / np.where(mend, sums, 1.0)
