"""Scenarios: everything that is true of a simulated service, as one reviewable YAML document."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from causalrel import errors, shipped
from causalrel.variables import parse_duration

GPUType = Literal["A100-SXM", "H100-SXM", "H200-SXM", "L40S"]

#: Boost clock in MHz and board power in W of each GPU type.
GPUS: dict[GPUType, tuple[float, float]] = {
    "A100-SXM": (1410.0, 400.0),
    "H100-SXM": (1980.0, 700.0),
    "H200-SXM": (1980.0, 700.0),
    "L40S": (2520.0, 350.0),
}


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value, "duration")
    except errors.CausalrelError as fault:
        raise ValueError(fault.message) from None


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Positive = Annotated[float, Field(gt=0)]
Natural = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Lengths(_Part):
    """Token lengths of a tenant's requests: a median and a spread, cut at both ends."""

    family: Literal["lognormal", "exponential"] = "lognormal"
    median: Positive
    sigma: Annotated[float, Field(ge=0, le=4)] = 0.0
    least: Count = 1
    most: Count


class Tenant(_Part):
    """Who sends requests, how long they are and how long its clients wait in a queue."""

    name: Name
    tier: Name
    share: Positive
    timeout: Duration
    prompt_tokens: Lengths
    output_tokens: Lengths
    correlation: Annotated[float, Field(ge=-1, le=1)] = 0.0


class Load(_Part):
    """Arrivals: a daily and weekly rhythm, growth, and bursts."""

    requests_per_s: Positive
    growth_per_day: Annotated[float, Field(gt=-1, le=1)] = 0.0
    daily_swing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    peak_hour: Annotated[float, Field(ge=0, lt=24)] = 14.0
    weekend: Positive = 1.0
    burst_every: Duration = timedelta(minutes=10)
    burst_shape: Positive | None = None
    tenants: Annotated[tuple[Tenant, ...], Field(min_length=1, max_length=64)]


class Fault(_Part):
    """A node whose clock is held down to a share of what it was, while it runs hot."""

    node: Name
    after: Duration
    lasts: Duration | None = None
    clock: Annotated[float, Field(gt=0, le=1)]
    temp_rise_c: Natural = 0.0


class Fleet(_Part):
    """Nodes of one hardware type."""

    nodes: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1024)]
    gpu_type: GPUType
    gpu_count: Count
    usd_per_gpu_hour: Natural = 0.0
    speed_sd: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    clock_sd: Annotated[float, Field(ge=0, le=0.2)] = 0.0
    faults: tuple[Fault, ...] = ()


class Engine(_Part):
    """Costs of one iteration of continuous batching, and its memory."""

    base_s: Positive
    prefill_s_per_token: Natural
    sequence_s: Natural
    kv_s_per_token: Natural
    prefill_chunk_tokens: Count
    kv_tokens: Count
    most_preemptions: Annotated[int, Field(ge=0, le=100)] = 3
    prefill_clock_power: Natural = 1.0
    decode_clock_power: Natural = 1.0
    gpu_count_power: Natural = 0.8


class Policy(_Part):
    """An operator who picks ``batch_size`` for blocks of hours from the load expected."""

    every: Duration
    stagger: Duration | None = None
    low: Count
    high: Count
    raise_at: Positive
    noise: Natural


class Version(_Part):
    """A model version: factors on the cost of prefill and decode, and the logit of its quality."""

    prefill: Positive = 1.0
    decode: Positive = 1.0
    quality: float = 1.0


class Step(_Part):
    """One node's switch to the new version."""

    node: Name
    after: Duration


class Rollout(_Part):
    """A staged change of ``model_version``."""

    before: Name
    after: Name
    steps: tuple[Step, ...] = ()


class Scrapes(_Part):
    """How often gauges are read, and how often nobody reads them."""

    every: Duration = timedelta(seconds=60)
    gaps_per_day: Natural = 0.0
    gap: Duration = timedelta(minutes=10)


class Scenario(_Part):
    """A simulated LLM service.

    Examples
    --------
    >>> load_scenario("llm-canary").fleet.nodes
    ('gpu-0', 'gpu-1', 'gpu-2', 'gpu-3')
    """

    scenario: Name
    version: Count = 1
    title: str = ""
    graph: Name
    service: Name
    model: Name
    start: AwareDatetime
    days: Annotated[float, Field(gt=0, le=3660)]
    workload: Load
    fleet: Fleet
    engine: Engine
    policy: Policy
    versions: Annotated[dict[Name, Version], Field(min_length=1)]
    rollout: Rollout
    scrapes: Scrapes = Scrapes()

    @field_validator("start", mode="before")
    @classmethod
    def _only_iso(cls, value: object) -> object:
        if isinstance(value, str) and "T" not in value:
            raise ValueError("write it as 2026-02-09T00:00:00Z")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        nodes = self.fleet.nodes
        asked = [*(("rollout.steps", s.node) for s in self.rollout.steps)]
        asked += [("fleet.faults", fault.node) for fault in self.fleet.faults]
        faults = [
            f"{where} names node '{node}', which the fleet lacks{errors.did_you_mean(node, nodes)}"
            for where, node in asked
            if node not in nodes
        ]
        faults += [
            f"rollout names version '{name}', which versions lacks{errors.did_you_mean(name, self.versions)}"
            for name in (self.rollout.before, self.rollout.after)
            if name not in self.versions
        ]
        faults += [
            f"{name} {lengths.least} to {lengths.most} is an empty range"
            for tenant in self.workload.tenants
            for name, lengths in (("prompt_tokens", tenant.prompt_tokens), ("output_tokens", tenant.output_tokens))
            if lengths.least > lengths.most
        ]
        if self.scrapes.every.total_seconds() % 60.0:
            faults.append("scrapes.every must be whole minutes")
        if len(set(nodes)) < len(nodes):
            faults.append("fleet.nodes names a node twice")
        if faults:
            raise ValueError("; ".join(faults))
        return self


def load_scenario(name: str) -> Scenario:
    """Read a scenario by shipped name or path.

    Parameters
    ----------
    name : str
        A shipped scenario or a path to a YAML file.

    Returns
    -------
    Scenario
        A checked scenario.

    Raises
    ------
    CausalrelError
        When there is no such scenario, or with every fault found in it.

    Examples
    --------
    >>> load_scenario("llm-canary").policy.high
    8
    """
    path = shipped.resolve(name, "models/scenarios", "scenario")
    documents = shipped.load_yaml(path, "scenario")
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise errors.bad_spec(name, [f"one YAML mapping is wanted, {len(documents)} documents were found"])
    try:
        return Scenario.model_validate(documents[0])
    except ValidationError as found:
        raise errors.bad_spec(name, [_fault(dict(error)) for error in found.errors()]) from None


def _fault(error: dict[str, Any]) -> str:
    loc: tuple[str | int, ...] = error["loc"]
    where = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        return f"unknown key '{where}'{errors.did_you_mean(str(loc[-1]), _keys(loc[:-1]))}".rstrip("?")
    if error["type"] == "missing":
        return f"key '{where}' is missing"
    said = str(error["msg"]).removeprefix("Value error, ")
    if not where:
        return said
    given = "" if isinstance(error["input"], dict | list) else f" '{str(error['input'])[:40]}'"
    if error["type"] == "literal_error":
        return f"{where}{given} is unknown{errors.did_you_mean(str(error['input']), _literals(loc))}".rstrip("?")
    return f"{where}{given}: {said[0].lower()}{said[1:]}"


def _kind(loc: tuple[str | int, ...]) -> Any:
    """Walk the models to the annotation that a place in the document has."""
    kind: Any = Scenario
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:
            kind = get_args(kind)[-1 if isinstance(part, str) else 0]
        kind = next((option for option in get_args(kind) if _is_part(option) and type(None) in get_args(kind)), kind)
    return kind


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(loc: tuple[str | int, ...]) -> list[str]:
    kind = _kind(loc)
    return list(kind.model_fields) if _is_part(kind) else []


def _literals(loc: tuple[str | int, ...]) -> list[str]:
    return [str(option) for option in get_args(_kind(loc))]
