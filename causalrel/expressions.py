"""Expressions: the one small grammar for good events, column maps and interventions."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import polars as pl

from causalrel import errors

if TYPE_CHECKING:
    from sqlglot import exp

MAX_BYTES = 4096
MAX_DEPTH = 32

_WORDS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[A-Za-z_]\w*|--|/\*|\d[\w.]*|\S")
_PREFIXES = frozenset({"(", "-", "+", "NOT", "CASE"})
_FORBIDDEN = {
    ";": "more than one statement",
    "--": "a comment",
    "/*": "a comment",
    "`": "a backtick",
    "\\": "a backslash",
    "'": "an open quote",
    '"': "an open quote",
}

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "EQ": operator.eq,
    "NEQ": operator.ne,
    "LT": operator.lt,
    "LTE": operator.le,
    "GT": operator.gt,
    "GTE": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
}


def columns_of(text: str) -> set[str]:
    """Return the columns an expression reads.

    Parameters
    ----------
    text : str
        The expression, at most 4 KiB and 32 levels deep.

    Returns
    -------
    set of str
        Column names.

    Raises
    ------
    CausalrelError
        When the text is not in the grammar.

    Examples
    --------
    >>> sorted(columns_of("ttft_s <= 0.5 AND error IS NULL"))
    ['error', 'ttft_s']
    """
    found: set[str] = set()
    _compile(_parse(text), text, found, cases=True, depth=0)
    return found


def thresholds_of(text: str) -> list[tuple[str, float]]:
    """Return the columns that an expression compares with numbers, and those numbers.

    Parameters
    ----------
    text : str
        An expression of the grammar.

    Returns
    -------
    list of (str, float)
        Column and number of each ``<``, ``<=``, ``>`` and ``>=``, in order.

    Examples
    --------
    >>> thresholds_of("ttft_s <= 0.5 AND error IS NULL")
    [('ttft_s', 0.5)]
    """
    from sqlglot import exp

    found = _parse(text).find_all(exp.LT, exp.LTE, exp.GT, exp.GTE)
    sides = [(node.this, node.expression) for node in found]
    return [
        (str(left.name), float(right.name))
        for left, right in sides
        if isinstance(left, exp.Column) and isinstance(right, exp.Literal) and not right.is_string
    ]


def upper_limit(text: str) -> tuple[str, float, bool] | None:
    """Return the column and the largest good value of an expression that is one upper limit.

    Parameters
    ----------
    text : str
        Such as ``ttft_s <= 0.5 AND error IS NULL``.

    Returns
    -------
    column : str
        What is limited.
    limit : float
        Its largest good value.
    served : bool
        Whether ``error IS NULL`` is asked too.

    Raises
    ------
    CausalrelError
        When the text is not in the grammar.

    Examples
    --------
    >>> upper_limit("ttft_s <= 0.5 AND error IS NULL")
    ('ttft_s', 0.5, True)
    >>> upper_limit("ttft_s <= 0.5 AND tpot_s <= 0.1") is None
    True
    """
    columns_of(text)
    limits, served = [], False
    for part in _chain(_bare(_parse(text)), "And"):
        node = _bare(part)
        sides = [_bare(node.args.get("this")), _bare(node.args.get("expression"))]
        kinds = (type(node).__name__, *(type(side).__name__ for side in sides))
        if kinds == ("LTE", "Column", "Literal") and not sides[1].is_string:
            limits.append((str(sides[0].this.this), float(sides[1].this)))
        elif kinds == ("Is", "Column", "Null") and str(sides[0].this.this) == "error":
            served = True
        else:
            return None
    return (*limits[0], served) if len(limits) == 1 else None


def _bare(node: Any) -> Any:
    while type(node).__name__ == "Paren":
        node = node.this
    return node


def compile_expression(text: str, known: Collection[str], asked_by: str, *, cases: bool = False) -> pl.Expr:
    """Turn an expression into a Polars expression with the three-valued logic of SQL.

    Columns, literals, comparisons, AND, OR, NOT, IN, BETWEEN, IS [NOT] NULL, ``+ - * /`` and parentheses are the
    whole grammar. A division by zero is null.

    Parameters
    ----------
    text : str
        The expression, at most 4 KiB and 32 levels deep; names in double quotes may hold any character.
    known : collection of str
        Columns that exist.
    asked_by : str
        What the expression is for, named in the error.
    cases : bool
        Whether ``CASE WHEN ... THEN ... ELSE ... END`` is allowed, as it is in column maps.

    Returns
    -------
    polars.Expr
        The expression.

    Raises
    ------
    CausalrelError
        When the text is not in the grammar or names a column that does not exist.

    Examples
    --------
    >>> good = compile_expression("ttft_s <= 0.5 AND error IS NULL", ["ttft_s", "error"], "SLO 'ttft'")
    >>> pl.DataFrame({"ttft_s": [0.2, 0.9, 0.1], "error": [None, None, "oom"]}).select(good=good)["good"].to_list()
    [True, False, False]
    """
    found: set[str] = set()
    made = _compile(_parse(text), text, found, cases=cases, depth=0)
    for name in sorted(found - set(known)):
        raise errors.unknown_column(name, asked_by, known)
    return made


def _parse(text: str) -> exp.Expr:
    _check_shape(text)
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    try:
        return parse_one(text, into=exp.Condition)
    except (SqlglotError, RecursionError, ValueError) as fault:
        raise errors.bad_expression(text, "it does not parse") from fault


def _check_shape(text: str) -> None:
    """Hold length and nesting to their caps before any parser sees the text."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise errors.bad_expression(text, f"it is longer than {MAX_BYTES} bytes")
    if any(ord(letter) < 32 and letter not in "\t\n\r" for letter in text):
        raise errors.bad_expression(text, "it holds a control character")
    if not text.strip():
        raise errors.bad_expression(text, "it is empty")
    depth = run = 0
    for word in _WORDS.findall(text):
        if word in _FORBIDDEN:
            raise errors.bad_expression(text, f"it holds {_FORBIDDEN[word]}")
        upper = word.upper()
        depth += (upper in {"(", "CASE"}) - (upper in {")", "END"})
        run = run + 1 if upper in _PREFIXES else 0
        if depth > MAX_DEPTH or run > MAX_DEPTH:
            raise errors.bad_expression(text, f"it is more than {MAX_DEPTH} levels deep")


def _compile(node: Any, text: str, found: set[str], *, cases: bool, depth: int) -> pl.Expr:
    if depth > MAX_DEPTH:
        raise errors.bad_expression(text, f"it is more than {MAX_DEPTH} levels deep")

    def inner(child: Any) -> pl.Expr:
        return _compile(child, text, found, cases=cases, depth=depth + 1)

    kind = type(node).__name__
    if kind in {"And", "Or"}:
        return _balanced([inner(part) for part in _chain(node, kind)], operator.and_ if kind == "And" else operator.or_)
    if kind in _COMPARE:
        if "Null" in {type(node.this).__name__, type(node.expression).__name__}:
            raise errors.bad_expression(text, "nothing equals NULL; write IS NULL")
        compared: pl.Expr = _COMPARE[kind](inner(node.this), inner(node.expression))
        return compared
    if kind in _ARITHMETIC:
        made: pl.Expr = _ARITHMETIC[kind](inner(node.this), inner(node.expression))
        return made
    small = _SMALL.get(kind)
    if small is None or (kind == "Case" and not cases):
        raise errors.bad_expression(text, f"{_told(node)} is not allowed")
    return small(node, inner, text, found)


def _chain(node: Any, kind: str) -> Iterator[Any]:
    """Yield the operands of a left-leaning chain of one operator, first to last."""
    parts = []
    while type(node).__name__ == kind:
        parts.append(node.expression)
        node = node.this
    yield node
    yield from reversed(parts)


def _balanced(parts: list[pl.Expr], join: Callable[[Any, Any], Any]) -> pl.Expr:
    while len(parts) > 1:
        joined = [join(*pair) for pair in zip(parts[::2], parts[1::2], strict=False)]
        parts = joined + parts[len(joined) * 2 :]
    return parts[0]


_Inner = Callable[[Any], pl.Expr]


def _column(node: Any, _inner: _Inner, text: str, found: set[str]) -> pl.Expr:
    if type(node.this).__name__ != "Identifier" or node.args.get("table") is not None:
        raise errors.bad_expression(text, f"{_told(node)} is not a plain column; put a name with dots in double quotes")
    name = str(node.this.this)
    if name == "*" or (name.startswith("^") and name.endswith("$")):
        raise errors.bad_expression(text, f"'{name}' is a pattern, not a column")
    found.add(name)
    return pl.col(name)


def _literal(node: Any, _inner: _Inner, text: str, _found: set[str]) -> pl.Expr:
    value = str(node.this)
    if node.is_string:
        return pl.lit(value)
    if value.isdigit() and int(value) < 1 << 63:
        return pl.lit(int(value))
    number = float(value)
    if not math.isfinite(number):
        raise errors.bad_expression(text, f"{value} is not a finite number")
    return pl.lit(number)


def _is_null(node: Any, inner: _Inner, text: str, _found: set[str]) -> pl.Expr:
    if type(node.expression).__name__ != "Null":
        raise errors.bad_expression(text, f"{_told(node)} is not allowed, only IS NULL and IS NOT NULL")
    return inner(node.this).is_null()


def _in(node: Any, inner: _Inner, text: str, _found: set[str]) -> pl.Expr:
    values = node.expressions
    if not values or not all(_is_constant(value) for value in values):
        raise errors.bad_expression(text, "IN takes a list of literals")
    tested = inner(node.this)
    return _balanced([tested == inner(value) for value in values], operator.or_)


def _between(node: Any, inner: _Inner, text: str, _found: set[str]) -> pl.Expr:
    if node.args.get("symmetric"):
        raise errors.bad_expression(text, "BETWEEN SYMMETRIC is not allowed")
    tested = inner(node.this)
    return (tested >= inner(node.args["low"])) & (tested <= inner(node.args["high"]))


def _divide(node: Any, inner: _Inner, _text: str, _found: set[str]) -> pl.Expr:
    below = inner(node.expression)
    return pl.when(below != 0).then(inner(node.this) / below).otherwise(None)


def _case(node: Any, inner: _Inner, text: str, _found: set[str]) -> pl.Expr:
    if node.args.get("this") is not None:
        raise errors.bad_expression(text, "CASE must be followed by WHEN")
    rest = node.args.get("default")
    made = pl.lit(None) if rest is None else inner(rest)
    for branch in reversed(node.args["ifs"]):
        made = pl.when(inner(branch.this)).then(inner(branch.args["true"])).otherwise(made)
    return made


def _is_constant(node: Any) -> bool:
    kind = type(node).__name__
    return kind in {"Literal", "Boolean"} or (kind == "Neg" and type(node.this).__name__ == "Literal")


def _told(node: Any) -> str:
    kind = type(node).__name__
    name = str(node.name)[:40] if kind == "Anonymous" else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
    return f"'{name}'"


_SMALL: dict[str, Callable[[Any, _Inner, str, set[str]], pl.Expr]] = {
    "Column": _column,
    "Literal": _literal,
    "Is": _is_null,
    "In": _in,
    "Between": _between,
    "Div": _divide,
    "Case": _case,
    "Paren": lambda node, inner, _text, _found: inner(node.this),
    "Not": lambda node, inner, _text, _found: ~inner(node.this),
    "Neg": lambda node, inner, _text, _found: -inner(node.this),
    "Boolean": lambda node, _inner, _text, _found: pl.lit(bool(node.this)),
    "Null": lambda _node, _inner, _text, _found: pl.lit(None),
}
