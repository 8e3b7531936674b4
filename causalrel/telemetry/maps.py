"""Column maps: somebody else's columns in canonical names and units, written as YAML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from causalrel import errors, expressions, shipped
from causalrel.telemetry.schema import IDENTITY, LOAD, METRIC_VARIABLES, REQUEST_VARIABLES
from causalrel.variables import Kind, Role, Variable

_CANONICAL = {*IDENTITY, *(variable.name for variable in REQUEST_VARIABLES)}
_RESERVED = {"unit", LOAD.name, *(variable.name for variable in METRIC_VARIABLES)}


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    kind: Kind = "number"
    unit: str = ""
    otel: str = ""


class ColumnMap(BaseModel):
    """How the columns of an export become canonical ones.

    Parameters
    ----------
    map : str
        Its name.
    version : int
        Counts its revisions.
    source : str
        What it was written for.
    columns : dict of str to str
        Canonical name to an expression over the export's columns.
    variables : dict
        Role, kind and unit of columns that are not canonical but may be causes.
    also : dict of str to list of str
        Other names under which the export may hold a column that the expressions read.

    Examples
    --------
    >>> load_map("llm-pilot").columns["ttft_s"]
    'ttft_ms / 1000'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    map: str
    version: int
    source: str
    columns: dict[str, str]
    variables: dict[str, _Declared] = {}
    also: dict[str, list[str]] = {}

    def declared(self) -> tuple[Variable, ...]:
        """Return the variables it declares beyond the canonical ones."""
        return tuple(
            Variable(name=name, role=one.role, kind=one.kind, unit=one.unit, otel=one.otel)
            for name, one in self.variables.items()
        )

    def apply(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Return the frame in mapped columns; columns the map does not read are kept.

        Parameters
        ----------
        frame : polars.LazyFrame
            The export.

        Returns
        -------
        polars.LazyFrame
            Mapped columns first.

        Raises
        ------
        CausalrelError
            When an expression needs a column that the export lacks.
        """
        frame = frame.rename(self._spelt(frame.collect_schema().names()))
        known = frame.collect_schema().names()
        asked_by = f"column map '{self.map}'"
        made = [
            expressions.compile_expression(text, known, asked_by, cases=True).alias(name)
            for name, text in self.columns.items()
        ]
        read = self.reads()
        kept = [pl.col(name) for name in known if name not in read and name not in self.columns]
        absent = sorted(set(self.variables) - set(self.columns) - set(known))
        if absent:
            raise errors.unknown_column(absent[0], asked_by, known)
        return frame.select([*made, *kept])

    def reads(self) -> set[str]:
        """Return the columns of the export that its expressions read."""
        return set().union(*(expressions.columns_of(text) for text in self.columns.values()))

    def fits(self, names: Collection[str]) -> bool:
        """Say whether an export with these columns holds all that is read.

        Parameters
        ----------
        names : collection of str
            Columns of the export.

        Returns
        -------
        bool
            Whether the map can be applied.
        """
        return self.reads() <= {*names, *self._spelt(names).values()}

    def _spelt(self, names: Collection[str]) -> dict[str, str]:
        """Return the columns to rename, by the name the export gives them."""
        return {
            other: name
            for name, others in self.also.items()
            if name not in names
            for other in [one for one in others if one in names][:1]
        }


def load_map(name_or_path: str | Path) -> ColumnMap:
    """Read a column map by shipped name or by path.

    Parameters
    ----------
    name_or_path : str or pathlib.Path
        Name of a shipped map, such as ``llm-pilot``, or a YAML file.

    Returns
    -------
    ColumnMap
        The map, its expressions checked.

    Raises
    ------
    CausalrelError
        When the file is missing or not usable; all its faults are told at once.

    Examples
    --------
    >>> load_map("llm-pilot").declared()[0].name
    'users'
    """
    path = shipped.resolve(str(name_or_path), "models/maps", "column map")
    documents = shipped.load_yaml(path, "column map")
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise errors.bad_spec(name_or_path, ["a column map is one YAML mapping"])
    try:
        made = ColumnMap.model_validate(documents[0])
    except ValidationError as fault:
        known = [*ColumnMap.model_fields, *_Declared.model_fields]
        raise errors.bad_spec(name_or_path, [_told(dict(error), known) for error in fault.errors()]) from None
    faults = _faults(made)
    if faults:
        raise errors.bad_spec(name_or_path, faults)
    return made


def map_for(names: Collection[str]) -> ColumnMap | None:
    """Find the shipped column map of an export by its columns.

    Parameters
    ----------
    names : collection of str
        Columns of the export.

    Returns
    -------
    ColumnMap or None
        Of those that fit, the one that reads most of them; None where none fits, or more than one reads as many.

    Examples
    --------
    >>> map_for(["TIMESTAMP", "ContextTokens", "GeneratedTokens"]).map
    'azure-llm'
    """
    found = [load_map(name) for name in shipped.names("models/maps")]
    fitting = sorted((one for one in found if one.fits(names)), key=lambda one: len(one.reads()))
    if not fitting or (len(fitting) > 1 and len(fitting[-2].reads()) == len(fitting[-1].reads())):
        return None
    return fitting[-1]


def _told(error: Mapping[str, Any], known: list[str]) -> str:
    where = ".".join(str(step) for step in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key '{where}'{errors.did_you_mean(str(error['loc'][-1]), known)}"
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _faults(made: ColumnMap) -> list[str]:
    faults = [] if "time" in made.columns else ["column 'time' is missing; map the arrival time"]
    faults += [
        f"column '{name}' is neither canonical nor under variables{errors.did_you_mean(name, _CANONICAL)}"
        for name in sorted(set(made.columns) - _CANONICAL - set(made.variables))
    ]
    faults += [
        f"variable '{name}' is a name that causalrel gives itself; choose another"
        for name in sorted(set(made.variables) & (_CANONICAL | _RESERVED))
    ]
    for name, text in made.columns.items():
        try:
            expressions.columns_of(text)
        except errors.CausalrelError as fault:
            faults.append(f"{name}: {fault.message}")
    return faults
