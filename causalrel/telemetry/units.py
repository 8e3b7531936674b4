"""Units: what a column is counted in, and which of its values speak against that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from causalrel.telemetry.schema import METRIC_VARIABLES, REQUEST_VARIABLES

#: Unit of each canonical column, and of each metric by the exporter's name and by ours.
UNITS: dict[str, str] = {variable.name: variable.unit for variable in (*REQUEST_VARIABLES, *METRIC_VARIABLES)} | {
    variable.otel: variable.unit for variable in METRIC_VARIABLES
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Values that a column can hardly hold in its unit.

    Parameters
    ----------
    name : str
        Column, or metric of samples.
    bound : float
        What the values are held against.
    above : bool
        Whether values above the bound are in doubt, or those below it.
    share : float
        Share of the values that must be beyond the bound.
    asks : str
        The unit they look like.

    Examples
    --------
    >>> Doubt(name="ttft_s", bound=120, above=True, share=0.5, asks="milliseconds").says(9, 10)
    '9 of 10 values of ttft_s (s) are above 120: are they milliseconds?'
    """

    name: str
    bound: float
    above: bool
    share: float
    asks: str

    def exceeds(self, value: Any) -> Any:
        """Return whether a number, or each value of an expression, is beyond the bound."""
        return value > self.bound if self.above else value < self.bound

    def says(self, beyond: int, known: int) -> str:
        """Return the doubt as a sentence.

        Parameters
        ----------
        beyond, known : int
            Values beyond the bound, and values in all.

        Returns
        -------
        str
            Empty where too few values are beyond the bound.
        """
        if not beyond or beyond <= self.share * known:
            return ""
        unit = "a share" if UNITS[self.name] == "1" else UNITS[self.name]
        side = "above" if self.above else "below"
        beyond_it = f"{beyond:,} of {known:,} values of {self.name} ({unit}) are {side} {self.bound:g}"
        return f"{beyond_it}: are they {self.asks}?"


def _half(bound: float, asks: str, *names: str, above: bool = True) -> tuple[Doubt, ...]:
    return tuple(Doubt(name=name, bound=bound, above=above, share=0.5, asks=asks) for name in names)


def _percent(*names: str) -> tuple[Doubt, ...]:
    return tuple(Doubt(name=name, bound=1, above=True, share=0.01, asks="percent") for name in names)


#: What is asked of columns of requests and of metrics of samples.
DOUBTS: tuple[Doubt, ...] = (
    *_half(120, "milliseconds", "ttft_s"),
    *_half(2, "milliseconds", "tpot_s"),
    *_half(3600, "milliseconds", "queue_s", "stall_s", "e2e_s"),
    *_half(100, "cents or micro-dollars", "cost_usd"),
    *_percent("kv_fraction", "fact_position", "quality", "judge_quality"),
    *_percent("kv_usage", "vllm:kv_cache_usage_perc"),
    *_half(150, "kelvin or degrees Fahrenheit", "gpu_temp_c", "DCGM_FI_DEV_GPU_TEMP"),
    *_half(10_000, "kilohertz or hertz", "sm_clock_mhz", "DCGM_FI_DEV_SM_CLOCK"),
    *_half(10, "gigahertz", "sm_clock_mhz", "DCGM_FI_DEV_SM_CLOCK", above=False),
    *_half(5000, "milliwatts", "power_w", "DCGM_FI_DEV_POWER_USAGE"),
)
