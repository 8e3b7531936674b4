"""Hardware: what one iteration of an LLM serving engine costs on a type of GPU, fitted to public measurements."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

from causalrel import errors
from causalrel.simulation.calibrations import Calibration, load_calibration

__all__ = [
    "Calibration",
    "Costs",
    "PowerShares",
    "iteration_costs",
    "load_calibration",
    "power_shares",
    "through_weights",
]

_GIB = 2.0**30
_ACTIVATION_BYTES = 2.0
_ALLREDUCES = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds that one iteration of continuous batching takes on one replica of tensor-parallel GPUs.

    An iteration takes ``base_s + max(weights_s, prefill_s * chunk + sequence_s * writing) + kv_s * resident +
    attend_s * pairs``: reading the weights and multiplying by them overlap, so the slower of the two counts (the
    roofline, https://doi.org/10.1145/1498765.1498785); attention and the all-reduces come on top.

    Parameters
    ----------
    base_s : float
        Every iteration: synchronising the layers and their all-reduces.
    weights_s : float
        Reading the weights once, or launching the kernels that do, if that is slower.
    prefill_s : float
        One prompt token through the weights.
    attend_s : float
        One prompt token attending to one token of context before it.
    sequence_s : float
        One sequence that writes a token: the token through the weights, and sampling it.
    kv_s : float
        One token resident in the batch whose keys and values are read.
    kv_tokens : int
        Tokens of keys and values that fit in memory.
    """

    base_s: float
    weights_s: float
    prefill_s: float
    attend_s: float
    sequence_s: float
    kv_s: float
    kv_tokens: int

    def seconds(self, *, writing: float = 0.0, resident: float = 0.0, chunk: float = 0.0, pairs: float = 0.0) -> float:
        """Return how long one iteration takes.

        Parameters
        ----------
        writing : float
            Sequences that write a token.
        resident : float
            Tokens of context of the sequences that write.
        chunk : float
            Prompt tokens read.
        pairs : float
            Sum, over those prompt tokens, of the tokens before each.

        Returns
        -------
        float
            Seconds.

        Examples
        --------
        >>> costs = iteration_costs(load_calibration(), model="llama-3-8b", gpu_type="H100-SXM", gpu_count=1)
        >>> costs.seconds(writing=8, resident=8000) < costs.seconds(writing=64, resident=64000)
        True
        """
        through = max(self.weights_s, self.prefill_s * chunk + self.sequence_s * writing)
        return self.base_s + through + self.kv_s * resident + self.attend_s * pairs


def iteration_costs(
    calibration: Calibration,
    *,
    model: str,
    gpu_type: str,
    gpu_count: int,
    quantisation: str = "fp16",
    kv_fraction: float = 0.9,
) -> Costs:
    """Return what an iteration costs for a model on tensor-parallel GPUs.

    Parameters
    ----------
    calibration : Calibration
        Data sheets, shapes and coefficients.
    model : str
        A model of the calibration.
    gpu_type : str
        A GPU type of the calibration.
    gpu_count : int
        GPUs that share each layer.
    quantisation : str
        How the weights are stored; keys and values stay fp16.
    kv_fraction : float
        Share of the memory that weights, keys and values may take.

    Returns
    -------
    Costs
        Seconds and tokens.

    Raises
    ------
    CausalrelError
        When a name is unknown, a number is out of range, or the weights leave no room for one token.

    Examples
    --------
    >>> one = iteration_costs(load_calibration(), model="llama-3-8b", gpu_type="A100-SXM", gpu_count=1)
    >>> two = iteration_costs(load_calibration(), model="llama-3-8b", gpu_type="A100-SXM", gpu_count=2)
    >>> two.prefill_s < one.prefill_s and two.kv_tokens > 2 * one.kv_tokens
    True
    """
    gpu = _one(calibration.gpus, gpu_type, "GPU type")
    shape = _one(calibration.models, model, "model")
    if gpu_count < 1:
        raise errors.bad_question(f"a replica of {gpu_count} GPUs cannot serve", "give it at least one")
    if not 0.0 < kv_fraction <= 1.0:
        raise errors.bad_question(f"kv_fraction {kv_fraction} is not a share of memory", "give one above 0, at most 1")
    common, reached = calibration.fitted.coefficients, calibration.fitted.efficiency[gpu_type]
    weights_s, token_s = through_weights(
        calibration, weights=shape.parameters, gpu_type=gpu_type, gpu_count=gpu_count, quantisation=quantisation
    )
    per_layer = reached.host * shape.layers
    shared = _ALLREDUCES * shape.layers * shape.hidden * _ACTIVATION_BYTES
    passed = 2.0 * shared * (gpu_count - 1) / gpu_count
    prefill_s = token_s + passed / (gpu.link_bytes_per_s * common.link_share)
    held = shape.parameters * calibration.quantisations[quantisation].bytes_per_weight
    room = kv_fraction * gpu_count * gpu.memory_gib * _GIB
    if room - held < shape.kv_bytes:
        least = ceil((held + shape.kv_bytes) / (kv_fraction * gpu.memory_gib * _GIB))
        raise errors.over_limit(
            f"{model} in {quantisation} does not fit on {gpu_count} x {gpu_type}: "
            f"its weights take {held / _GIB:.1f} GiB and {room / _GIB:.1f} GiB may be used",
            f"use at least {least} GPUs or fewer bits",
        )
    return Costs(
        base_s=per_layer * (common.layer_s + common.allreduce_s * log2(gpu_count)),
        weights_s=max(weights_s, per_layer * common.launch_s),
        prefill_s=prefill_s,
        attend_s=4.0 * shape.layers * shape.hidden / (gpu_count * gpu.flops * common.attention_share),
        sequence_s=prefill_s + per_layer * common.sequence_s,
        kv_s=shape.kv_bytes / (gpu_count * gpu.bytes_per_s * common.kv_share),
        kv_tokens=int((room - held) // shape.kv_bytes),
    )


def through_weights(
    calibration: Calibration, *, weights: float, gpu_type: str, gpu_count: int = 1, quantisation: str = "fp16"
) -> tuple[float, float]:
    """Return the two sides of the roofline of a product with a matrix shared over GPUs.

    Parameters
    ----------
    calibration : Calibration
        Data sheets and efficiencies.
    weights : float
        Weights in the matrix, over all GPUs.
    gpu_type : str
        A GPU type of the calibration.
    gpu_count : int
        GPUs that share the matrix.
    quantisation : str
        How the weights are stored.

    Returns
    -------
    tuple of float
        Seconds to read the weights once, and seconds to multiply one token by them.

    Raises
    ------
    CausalrelError
        When a name is unknown.

    Examples
    --------
    >>> read_s, token_s = through_weights(load_calibration(), weights=8e9, gpu_type="H100-SXM")
    >>> 100 < read_s / token_s < 500
    True
    """
    gpu = _one(calibration.gpus, gpu_type, "GPU type")
    stored = _one(calibration.quantisations, quantisation, "quantisation")
    reached = calibration.fitted.efficiency[gpu_type]
    factor = 1.0 if stored.needs_fp8 and not gpu.fp8 else stored.compute
    read_s = weights * stored.bytes_per_weight / (gpu_count * gpu.bytes_per_s * reached.memory)
    return read_s, 2.0 * weights * factor / (gpu_count * gpu.flops * reached.compute)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerShares:
    """Shares of board power drawn while a replica is idle, reads prompts, and writes tokens."""

    idle: float
    prefill: float
    decode: float


def power_shares(
    calibration: Calibration, *, model: str, gpu_type: str, gpu_count: int, quantisation: str = "fp16"
) -> PowerShares:
    """Return the shares of board power that a replica draws.

    While it writes, the share rises in a line with how busy the memory is: the more GPUs share the weights, the longer
    each waits.

    Parameters
    ----------
    calibration : Calibration
        Data sheets, shapes and coefficients.
    model : str
        A model of the calibration.
    gpu_type : str
        A GPU type of the calibration.
    gpu_count : int
        GPUs that share each layer.
    quantisation : str
        How the weights are stored.

    Returns
    -------
    PowerShares
        Shares of the board power of each GPU; reading may exceed 1.

    Raises
    ------
    CausalrelError
        When a name is unknown, or the weights do not fit.

    Examples
    --------
    >>> shares = power_shares(load_calibration(), model="llama-2-70b", gpu_type="A100-SXM", gpu_count=4)
    >>> shares.idle < shares.decode < shares.prefill
    True
    """
    costs = iteration_costs(
        calibration, model=model, gpu_type=gpu_type, gpu_count=gpu_count, quantisation=quantisation, kv_fraction=1.0
    )
    held = calibration.models[model].parameters * calibration.quantisations[quantisation].bytes_per_weight
    busy = held / (gpu_count * calibration.gpus[gpu_type].bytes_per_s) / (costs.base_s + costs.weights_s)
    drawn = calibration.fitted.power[gpu_type]
    return PowerShares(
        idle=drawn.idle_share, prefill=drawn.prefill_share, decode=drawn.waiting_share + drawn.memory_share * busy
    )


def _one[Entry](known: dict[str, Entry], name: str, what: str) -> Entry:
    if name not in known:
        raise errors.unknown_name(name, what, known)
    return known[name]
