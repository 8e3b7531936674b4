"""Calibrations: data sheets, model shapes and coefficients fitted to public measurements, as one YAML document."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from causalrel import errors, shipped

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Text = Annotated[str, Field(min_length=1, max_length=400)]
Positive = Annotated[float, Field(gt=0)]
Natural = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
Grounds = Literal["kernels", "engine", "assumed"]

_KV_BYTES = 2.0


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GPU(_Part):
    """A type of GPU by its data sheet: dense fp16 rate, memory, what links it to its peers, clock and power."""

    flops: Positive
    bytes_per_s: Positive
    memory_gib: Positive
    link_bytes_per_s: Positive
    fp8: bool
    boost_mhz: Positive
    board_w: Positive


class Model(_Part):
    """The shape of a decoder: what is read once per iteration and what is kept per token."""

    parameters: Positive
    layers: Count
    hidden: Count
    kv_heads: Count
    head_dim: Count

    @property
    def kv_bytes(self) -> float:
        """Bytes of keys and values that one token leaves in fp16."""
        return 2.0 * self.layers * self.kv_heads * self.head_dim * _KV_BYTES


class Quantisation(_Part):
    """How weights are stored, and how much longer or shorter a multiplication takes for it."""

    bytes_per_weight: Positive
    compute: Positive
    needs_fp8: bool = False


class Efficiency(_Part):
    """Shares of a data sheet's rates that are reached, how slow the host is, and on what ground."""

    compute: Share
    memory: Share
    host: Positive
    grounds: Grounds


class Coefficients(_Part):
    """What is fitted once and shared by every GPU type, model and number of GPUs."""

    kernel_s: Natural
    layer_s: Natural
    allreduce_s: Natural
    launch_s: Natural
    sequence_s: Natural
    attention_share: Share
    kv_share: Share
    link_share: Share


class Power(_Part):
    """Shares of board power: doing nothing, waiting for a host or peers, memory fully busy, reading prompts."""

    idle_share: Share
    waiting_share: Share
    memory_share: Natural
    prefill_share: Positive
    grounds: Grounds


class Fault(_Part):
    """How far the fit is from a table: absolute relative errors of cells in the fit and of cells held out."""

    table: Name
    quantity: Name
    held_out: Text
    cells: Count
    cells_held_out: Count
    median: Natural
    median_held_out: Natural
    ninth_decile_held_out: Natural
    worst_held_out: Natural


class Tokens(_Part):
    """A lognormal of token lengths fitted to the deciles of a first half, and how it fails on the second."""

    median: Positive
    sigma: Natural
    worst_decile_held_out: Natural
    distance_held_out: Natural


class Bursts(_Part):
    """Counts beyond a Poisson: the shape of a gamma of mean 1, and the same from each half."""

    window_s: Positive
    windows: Count
    shape: Positive
    shape_first_half: Positive
    shape_second_half: Positive


class Prefixes(_Part):
    """Blocks of a prompt found in an endless cache; a hit of one block is the system prompt that all share."""

    block_tokens: Count
    block_share: Share
    block_share_held_out: Share
    request_share: Share
    request_share_held_out: Share
    median_blocks: Positive
    sigma_blocks: Natural
    worst_decile_held_out: Natural


class Trace(_Part):
    """Requests of a public trace: lengths, rank correlation as a Gaussian copula's, bursts and shared prefixes."""

    requests: Count
    prompt_tokens: Tokens
    output_tokens: Tokens
    correlation: Correlation
    correlation_held_out: Correlation
    bursts: Bursts
    prefixes: Prefixes | None = None


class Rhythm(_Part):
    """A fleet's fortnight: cosine of the day and the two quietest days of a week, from its first week.

    Hours count from the trace's own start, of which the time of day is unknown, and so is the weekday.
    """

    clients: Count
    daily_swing: Annotated[float, Field(ge=0, lt=1)]
    peak_hour: Annotated[float, Field(ge=0, lt=24)]
    hours_error_held_out: Natural
    hours_error_flat: Natural
    quiet_days: tuple[Annotated[int, Field(ge=0, le=6)], Annotated[int, Field(ge=0, le=6)]]
    weekend: Positive
    weekend_held_out: Positive
    bursts: Bursts


class Workload(_Part):
    """What public traces say about the requests themselves."""

    traces: dict[Name, Trace]
    rhythms: dict[Name, Rhythm]


class Fitted(_Part):
    """The part that a script writes from the measurements."""

    coefficients: Coefficients
    efficiency: dict[Name, Efficiency]
    power: dict[Name, Power]
    errors: tuple[Fault, ...]
    workload: Workload


class Calibration(_Part):
    """Data sheets, model shapes and fitted coefficients, as one reviewable YAML document.

    Examples
    --------
    >>> load_calibration().gpus["H100-SXM"].boost_mhz
    1980.0
    """

    calibration: Name
    version: Count
    title: str = ""
    sources: dict[Name, Text] = {}
    gpus: Annotated[dict[Name, GPU], Field(min_length=1)]
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    quantisations: Annotated[dict[Name, Quantisation], Field(min_length=1)]
    fitted: Fitted

    @model_validator(mode="after")
    def _complete(self) -> Self:
        faults = [
            f"fitted.{part} lacks GPU type '{name}'"
            for part, known in (("efficiency", self.fitted.efficiency), ("power", self.fitted.power))
            for name in self.gpus
            if name not in known
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self


def load_calibration(name: str = "llm-serving") -> Calibration:
    """Read a calibration by shipped name or path.

    Parameters
    ----------
    name : str
        A shipped calibration or a path to a YAML file.

    Returns
    -------
    Calibration
        A checked calibration.

    Raises
    ------
    CausalrelError
        When there is no such calibration, or with every fault found in it.

    Examples
    --------
    >>> sorted(load_calibration().quantisations)
    ['fp16', 'fp8', 'int4']
    """
    path = shipped.resolve(name, "models/calibrations", "calibration")
    return _read(name, path, path.stat().st_mtime_ns)  # a changed file is read anew


@cache
def _read(name: str, path: Path, _changed: int) -> Calibration:
    """Read a file once for as long as it does not change."""
    documents = shipped.load_yaml(path, "calibration")
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise errors.bad_spec(name, [f"one YAML mapping is wanted, {len(documents)} documents were found"])
    try:
        return Calibration.model_validate(documents[0])
    except ValidationError as fault:
        raise errors.bad_spec(name, errors.validation_faults(fault)) from None
