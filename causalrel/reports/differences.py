"""Differences: what is not the same between a report as it was written and as it is now."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from causalrel import display
from causalrel.reports.records import Claim, Parts, Written

_VALUES = ("mean", "sd", "low", "high", "value")
_MOST = 8
_LONGEST = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is not as it was written.

    Parameters
    ----------
    what : str
        ``data``, ``slo``, ``edge``, ``graph``, ``seed``, ``sentence``, ``number``, ``verdict``, ``check``, ``table`` or
        ``replay``.
    where : str
        Which one: a name a reader knows.
    says : str
        What was, and what is.
    """

    what: str
    where: str
    says: str


def inputs(before: Written, now: Written) -> list[Change]:
    """Compare what two reports stand on: data, SLOs and graph.

    Parameters
    ----------
    before, now : Written
        As it was written, and as it is now.

    Returns
    -------
    list of Change
        Empty where nothing differs.
    """
    return [
        *_data(before.record.data, now.record.data),
        *_events(before.changes, now.changes),
        *_listed("slo", _by_name(before.slos), _by_name(now.slos)),
        *_graph(before.graph, now.graph),
    ]


def answers(before: Written, now: Written, within: float) -> list[Change]:
    """Compare what two reports say, sentence by sentence, then every other number and table.

    Parameters
    ----------
    before, now : Written
        As it was written, and as it is now.
    within : float
        Standard deviations that a number may move by and count as the same.

    Returns
    -------
    list of Change
        Empty where all is the same.
    """
    again = {claim.key: claim for claim in now.claims}
    made: list[Change] = [*_seeds(before, now)]
    for claim in before.claims:
        found = again.pop(claim.key, None)
        if found is None:
            made.append(Change(what="sentence", where=claim.key, says="it is not said any more"))
        else:
            made += _claim(claim, found, within)
    made += [Change(what="sentence", where=key, says="it was not said") for key in again]
    told = {change.where for change in made}
    for key, answer in before.answers.items():
        if key not in told:
            made += _numbers(key, answer.get("terms", []), now.answers.get(key, {}).get("terms", []), within)
    if not made and not within:
        made += _tables(before.sections, now.sections)
    return made


def notes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say which versions differ.

    Parameters
    ----------
    before, now : mapping of str to str
        Version of each library.

    Returns
    -------
    list of str
        One sentence each.

    Examples
    --------
    >>> notes({"numpy": "2.0"}, {"numpy": "2.1"})
    ['numpy was 2.0 and is 2.1']
    """
    return [
        f"{name} was {before.get(name, 'not told')} and is {now.get(name, 'not told')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]


def _data(before: Parts, now: Parts) -> Iterator[Change]:
    if before.fingerprint == now.fingerprint:
        return
    places = []
    for what, old, new in (
        ("on", before.days, now.days),
        ("in unit", before.units, now.units),
        ("in column", before.columns, now.columns),
    ):
        changed = [name for name in old if name in new and old[name] != new[name]]
        gone, come = [name for name in old if name not in new], [name for name in new if name not in old]
        said = [f"{what} {_some(changed)}"] if changed else []
        said += [f"{_some(gone)} is gone"] if gone else []
        places += [*said, *([f"{_some(come)} is new"] if come else [])]
    rows = f"; there were {before.rows:,} windows and are {now.rows:,}" if before.rows != now.rows else ""
    yield Change(what="data", where="windows", says=f"they differ {'; '.join(places)}{rows}")


def _events(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
    if list(before) != list(now):
        gone = [row for row in before if row not in now]
        come = [row for row in now if row not in before]
        times = [str(row.get("time")) for row in [*gone, *come]]
        where = f", first at {min(times)}" if times else " but in order"
        yield Change(
            what="data",
            where="change events",
            says=f"{len(gone)} are gone and {len(come)} are new of {len(before)}{where}",
        )


def _graph(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    def edges(facts: Mapping[str, Any]) -> dict[str, Any]:
        return {_edge_name(edge): edge for edge in facts["edges"]}

    yield from _listed("edge", edges(before), edges(now))
    forbidden = [{f"{pair['cause']} -> {pair['effect']}": pair for pair in one["forbidden"]} for one in (before, now)]
    unmeasured = [_by_name(one["unmeasured"]) for one in (before, now)]
    for kind, (old, new) in (
        ("variable", (before["variables"], now["variables"])),
        ("forbidden edge", forbidden),
        ("unmeasured cause", unmeasured),
        ("document", [{"graph": {key: one[key] for key in ("graph", "version")}} for one in (before, now)]),
    ):
        yield from (
            Change(what="graph", where=f"{kind} {change.where}", says=change.says)
            for change in _listed("graph", old, new)
        )


def _edge_name(edge: Mapping[str, Any]) -> str:
    lag = f" (lag {edge['lag']})" if edge.get("lag") else ""
    return f"{edge['cause']} -> {edge['effect']}{lag}"


def _listed(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    """Compare named mappings: which are gone, which are new, and which field of the others changed."""
    for name, old in before.items():
        if name not in now:
            yield Change(what=what, where=name, says="it was there and is gone")
        elif old != now[name]:
            new = now[name]
            fields = [field for field in dict.fromkeys([*old, *new]) if old.get(field) != new.get(field)]
            said = [f"{field} {_turn(_shown(old.get(field)), _shown(new.get(field)))}" for field in fields]
            yield Change(what=what, where=name, says="; ".join(said))
    for name in now:
        if name not in before:
            yield Change(what=what, where=name, says="it was not there and is now")


def _claim(before: Claim, now: Claim, within: float) -> Iterator[Change]:
    """Compare two sentences; what stands on one answer alone is compared there."""
    key = before.key
    if before.verdict != now.verdict:
        yield Change(what="verdict", where=key, says=f"it was {before.verdict} and is {now.verdict}")
    moved = list(_numbers(key, before.numbers, now.numbers, within))
    yield from moved
    if before.says != now.says and (moved or not within):
        yield Change(what="sentence", where=key, says=f"it {_turn(before.says, now.says)}")
    if len(before.of) > 1:
        return
    for field, old, new in (
        ("method", before.method, now.method),
        ("assumptions", before.assumptions, now.assumptions),
        ("call", *([{**call, "seed": None} for call in claim.calls] for claim in (before, now))),
    ):
        if old != new:
            yield Change(what="sentence", where=key, says=f"its {field} {_turn(str(old), str(new))}")
    yield from _checks(key, before.checks, now.checks, within)


def _seeds(before: Written, now: Written) -> Iterator[Change]:
    """Say where sentences were asked with another seed than their record tells."""
    seeds = {claim.origin.get("seed") for claim in before.claims} - {now.record.seed}
    if seeds:
        said = f"the sentences say {', '.join(map(str, sorted(seeds, key=str)))} and the record says {now.record.seed}"
        yield Change(what="seed", where="record", says=said)


def _checks(
    key: str, before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], within: float
) -> Iterator[Change]:
    def named(checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        shown = ("passed",) if within else ("passed", "says")
        return {str(one.get("name")): {name: one.get(name) for name in shown} for one in checks}

    for change in _listed("check", named(before), named(now)):
        yield Change(what="check", where=key, says=f"{change.where}: {change.says}")


def _numbers(
    key: str, before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]], within: float
) -> Iterator[Change]:
    """Say how many numbers of an answer moved, and which moved most beside its standard deviation."""
    old, new = _by_keys(before), _by_keys(now)
    missing, come = [name for name in old if name not in new], [name for name in new if name not in old]
    if missing or come:
        names = _some([_term(name) for name in [*missing, *come]])
        yield Change(what="number", where=key, says=f"{len(missing)} are gone and {len(come)} are new: {names}")
    moves = [(_moved(old[name], new[name]), name) for name in old if name in new and old[name] != new[name]]
    moves = [(far, name) for far, name in moves if far > within]
    if moves:
        far, name = max(moves, key=lambda move: (move[0] < float("inf"), move[0]))
        was, is_, sd = _headline(old[name]), _headline(new[name]), old[name].get("sd")
        beside = f", {display.number(far)} of its sd of {display.number(sd)}" if sd else ""
        said = f"{len(moves)} of {len(old)} differ; {_term(name)} was {_exact(was)} and is {_exact(is_)}{beside}"
        yield Change(what="number", where=key, says=said)


def _moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> float:
    """Return the largest move of a number's parts in its standard deviations; endless where it has none."""
    sd = old.get("sd")
    pairs = [(old.get(part), new.get(part)) for part in _VALUES if old.get(part) != new.get(part)]
    gaps = [abs(now - was) for was, now in pairs if isinstance(was, int | float) and isinstance(now, int | float)]
    if not isinstance(sd, int | float) or sd <= 0 or len(gaps) < len(pairs):
        return float("inf") if pairs else 0.0
    return max(gaps, default=0.0) / sd


def _tables(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
    """Compare the tables of sections that stand on answers; provenance tells of versions and names that may differ."""
    again = {section["key"]: section for section in now}
    for section in before:
        key = str(section.get("key"))
        if key != "provenance" and section != again.get(key):
            yield Change(what="table", where=key, says="a table or note of this section differs")


def _by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {str(row["name"]): row for row in rows}


def _by_keys(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[tuple[str, Hashable], ...], Mapping[str, Any]]:
    return {
        tuple((key, str(value)) for key, value in row.items() if key not in _VALUES and value is not None): {
            part: row[part] for part in _VALUES if part in row
        }
        for row in rows
    }


def _term(name: Sequence[tuple[str, Hashable]]) -> str:
    return " ".join(str(value) for key, value in name if key != "unit")


def _headline(number: Mapping[str, Any]) -> Any:
    return number.get("mean", number.get("value"))


def _exact(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def _shown(value: Any) -> str:
    return "not told" if value in (None, "") else str(value)


def _turn(before: str, now: str) -> str:
    """Say what a text was and is, without the words at both ends that stayed."""
    old, new = before.split(), now.split()
    shorter = min(len(old), len(new))
    first = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    rest = next((i for i in range(shorter - first) if old[-1 - i] != new[-1 - i]), shorter - first)
    if first + rest < 6:
        first = rest = 0
    ends = [" ".join(words[first : len(words) - rest]) or "nothing" for words in (old, new)]
    was, is_ = (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..." for text in ends)
    after = f" after '{' '.join(old[max(0, first - 4) : first])}'" if first else ""
    return f"was '{was}' and is '{is_}'{after}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
