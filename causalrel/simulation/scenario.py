"""Scenarios: everything that is true of a simulated service, as one reviewable document."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from causalrel import errors
from causalrel.simulation.consistency import faults_of
from causalrel.simulation.hardware import load_calibration
from causalrel.variables import parse_duration


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
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Router = Literal["random", "two_choices"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)


class Lengths(_Part):
    """Token lengths of a tenant's requests: a median and a spread, cut at both ends."""

    family: Literal["lognormal", "exponential"] = "lognormal"
    median: Positive
    sigma: Annotated[float, Field(ge=0, le=4)] = 0.0
    least: Count = 1
    most: Count


class Prefixes(_Part):
    """Beginnings that prompts share: how many, how long, the share of prompts with one, and a Zipf exponent."""

    count: Annotated[int, Field(ge=1, le=10_000)]
    tokens: Count
    share: Share
    skew: Natural = 1.0


class LongContext(_Part):
    """A share of requests whose prompt is so many times longer."""

    share: Share
    times: Positive


class Quota(_Part):
    """A token bucket at the gateway: what it lets through in the long run, and at once."""

    requests_per_minute: Positive
    burst: Annotated[float, Field(ge=1)]


class Tenant(_Part):
    """Who sends requests, how long they are, and how long its clients wait for a first token before they try again."""

    name: Name
    tier: Name
    share: Positive
    timeout: Duration
    retries: Annotated[int, Field(ge=0, le=20)] = 0
    backoff: Duration = timedelta(seconds=2)
    prompt_tokens: Lengths
    output_tokens: Lengths
    correlation: Annotated[float, Field(ge=-1, le=1)] = 0.0
    prefixes: Prefixes | None = None
    long_context: LongContext | None = None
    quota: Quota | None = None


class Shift(_Part):
    """A change of the workload: factors on rate and lengths from a moment on."""

    after: Duration
    lasts: Duration | None = None
    tenant: Name | None = None
    rate: Positive = 1.0
    prompt_tokens: Positive = 1.0
    output_tokens: Positive = 1.0


class Load(_Part):
    """Arrivals: a daily and weekly rhythm, growth, bursts and shifts."""

    requests_per_s: Positive
    growth_per_day: Annotated[float, Field(gt=-1, le=1)] = 0.0
    daily_swing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    peak_hour: Annotated[float, Field(ge=0, lt=24)] = 14.0
    weekend: Positive = 1.0
    burst_every: Duration = timedelta(minutes=10)
    burst_shape: Positive | None = None
    tenants: Annotated[tuple[Tenant, ...], Field(min_length=1, max_length=64)]
    shifts: tuple[Shift, ...] = ()


class Fault(_Part):
    """A node whose clock is held down to a share of what it was, while it runs hot."""

    node: Name
    after: Duration
    lasts: Duration | None = None
    clock: Annotated[float, Field(gt=0, le=1)]
    temp_rise_c: Natural = 0.0


class Failures(_Part):
    """Hazards of a node, a lognormal frailty between nodes, and how long each repair takes (medians)."""

    failures_per_day: Natural = 0.0
    repair: Duration = timedelta(hours=4)
    crashes_per_day: Natural = 0.0
    restart: Duration = timedelta(minutes=5)
    ecc_per_day: Natural = 0.0
    frailty_sd: Annotated[float, Field(ge=0, le=3)] = 0.0


class Pool(_Part):
    """Nodes bought together: one replica a node, which spreads over the GPUs of the node."""

    nodes: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1024)]
    gpu_type: Name
    gpu_count: Count
    firmware: Name = "base"
    usd_per_gpu_hour: Natural = 0.0


class Fleet(_Part):
    """All pools, how unequal their nodes are, what fails, and who sends a request where."""

    pools: Annotated[tuple[Pool, ...], Field(min_length=1, max_length=64)]
    router: Router = "random"
    speed_sd: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    clock_sd: Annotated[float, Field(ge=0, le=0.2)] = 0.0
    faults: tuple[Fault, ...] = ()
    failures: Failures = Failures()

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of all nodes, in order."""
        return tuple(node for pool in self.pools for node in pool.nodes)


class Seconds(_Part):
    """Costs of one iteration on a plain node of the first pool, and its memory."""

    base_s: Positive
    prefill_s_per_token: Natural
    attend_s_per_token2: Natural = 0.0
    sequence_s: Natural
    kv_s_per_token: Natural
    kv_tokens: Count
    gpu_count_power: Natural = 0.8


class Engine(_Part):
    """Costs of an iteration: those of a calibrated model, or written in seconds."""

    model: Name | None = None
    costs: Seconds | None = None
    most_preemptions: Annotated[int, Field(ge=0, le=100)] = 3
    prefill_clock_power: Natural = 1.0
    decode_clock_power: Natural = 0.5

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.model is None) == (self.costs is None):
            raise ValueError("engine takes either model, the name of a calibrated one, or costs in seconds")
        return self


class Policy(_Part):
    """An operator who sets a variable for blocks of hours by the load expected, and by what only the operator knows."""

    set: Name
    every: Duration
    stagger: Duration | None = None
    low: str
    high: str
    raise_at: Positive
    noise: Natural = 0.0
    hidden_weight: float = 0.0


class Step(_Part):
    """One node's switch, or that of all nodes."""

    node: Name | None = None
    after: Duration


class Rollout(_Part):
    """A staged change of a setting; one that nobody logged leaves no change event and no column."""

    set: Name
    to: str
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    logged: bool = True


class Autoscaler(_Part):
    """Replicas from the arrival rate of the last window, up at once and down after a hold."""

    least: Count
    most: Count
    requests_per_s: Positive
    window: Duration = timedelta(minutes=10)
    delay: Duration = timedelta(minutes=3)
    hold: Duration = timedelta(minutes=30)


class Version(_Part):
    """A model version: factors on the cost of prefill and decode, the logit of its quality, and the judge's bias."""

    prefill: Positive = 1.0
    decode: Positive = 1.0
    quality: float = 1.0
    judge: float = 0.0


class Firmware(_Part):
    """A firmware cohort: factors on the cost of prefill and decode and on the hazards."""

    prefill: Positive = 1.0
    decode: Positive = 1.0
    hazard: Natural = 1.0


class Template(_Part):
    """A prompt template: the share of shared beginnings that it leaves intact."""

    reuse: Share = 1.0


class Hidden(_Part):
    """Something nobody measures that comes and goes on each node in blocks: it slows work and hardens questions."""

    name: Name
    share: Share
    every: Duration
    slows: Positive = 1.0
    hardens: float = 0.0


class Quality(_Part):
    """The logit of an answer's quality, and a judge's view of it."""

    spread: Natural = 0.5
    long_context: Natural = 0.0
    middle: Natural = 0.0
    int4: Natural = 0.3
    judge_spread: Natural = 0.6
    judged: Share = 1.0


class Scrapes(_Part):
    """How often gauges are read, and how often nobody reads them."""

    every: Duration = timedelta(seconds=60)
    gaps_per_day: Natural = 0.0
    gap: Duration = timedelta(minutes=10)
    histograms: bool = False


class Lagged(_Part):
    """An edge of the true dynamic graph over windows."""

    cause: Name
    effect: Name
    lag: Annotated[int, Field(ge=1, le=1000)] = 1
    why: str = ""


class Scenario(_Part):
    """A simulated LLM service.

    Examples
    --------
    >>> from causalrel.simulation.documents import load_scenario
    >>> load_scenario("llm-canary").fleet.nodes
    ('gpu-0', 'gpu-1', 'gpu-2', 'gpu-3')
    """

    scenario: Name
    version: Count = 1
    title: str = ""
    graph: Name
    lagged: tuple[Lagged, ...] = ()
    service: Name
    model: Name
    start: AwareDatetime
    days: Annotated[float, Field(gt=0, le=3660)]
    workload: Load
    fleet: Fleet
    engine: Engine
    config: dict[str, str] = {}
    policies: tuple[Policy, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    autoscaler: Autoscaler | None = None
    versions: Annotated[dict[Name, Version], Field(min_length=1)]
    firmwares: Annotated[dict[Name, Firmware], Field(min_length=1)] = {"base": Firmware()}
    templates: Annotated[dict[Name, Template], Field(min_length=1)] = {"plain": Template()}
    hidden: Hidden | None = None
    quality: Quality = Quality()
    scrapes: Scrapes = Scrapes()

    @field_validator("start", mode="before")
    @classmethod
    def _only_iso(cls, value: object) -> object:
        if isinstance(value, str) and "T" not in value:
            raise ValueError("write it as 2026-02-09T00:00:00Z")
        return value

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """Names that each setting written as a name may take."""
        return {
            "model_version": tuple(self.versions),
            "firmware": tuple(self.firmwares),
            "prompt_template": tuple(self.templates),
            "quantisation": tuple(load_calibration().quantisations),
            "gpu_type": tuple(load_calibration().gpus),
        }

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = faults_of(self)
        if faults:
            raise ValueError("; ".join(faults))
        return self
