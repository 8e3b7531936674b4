from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from causalrel import CausalrelError, shipped
from causalrel.simulation.calibrations import Calibration, load_calibration
from causalrel.simulation.hardware import Costs, iteration_costs, power_shares, through_weights

SHARED = Path(__file__).parents[2] / "shared/data"
MEASURED = [SHARED / name for name in ("vidur_kernels", "splitwise_perf", "llm_traces")]
needs_measurements = pytest.mark.skipif(
    not all(path.is_dir() for path in MEASURED), reason="the measurements are not beside this checkout"
)
CALIBRATION = load_calibration()
DOCUMENT = shipped.root() / "models/calibrations/llm-serving.yaml"
GOAL = 0.15


def costs(model: str = "llama-2-70b", gpu_type: str = "A100-SXM", gpu_count: int = 4, **more: Any) -> Costs:
    return iteration_costs(CALIBRATION, model=model, gpu_type=gpu_type, gpu_count=gpu_count, **more)


def refused(match: str, calibration: Calibration = CALIBRATION, **asked: Any) -> None:
    question: dict[str, Any] = {"model": "llama-3-8b", "gpu_type": "A100-SXM", "gpu_count": 1} | asked
    with pytest.raises(CausalrelError, match=match) as caught:
        iteration_costs(calibration, **question)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    path = Path(__file__).parent / "golden/make_calibration.py"
    spec = importlib.util.spec_from_file_location("make_calibration", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_calibration"] = module
    spec.loader.exec_module(module)
    return module


def changed(**parts: Any) -> Calibration:
    """A calibration of which every coefficient is 1 or 0, so that the roofline can be done by hand."""
    plain = {"compute": 0.5, "memory": 0.5, "host": 2.0, "grounds": "assumed"}
    coefficients = {
        **dict.fromkeys(("attention_share", "kv_share", "link_share"), 1.0),
        "kernel_s": 0.0,
        "layer_s": 1e-3,
        "allreduce_s": 1e-4,
        "launch_s": 0.0,
        "sequence_s": 1e-6,
        **parts,
    }
    drawn = {"idle_share": 0.1, "waiting_share": 0.3, "memory_share": 0.5, "prefill_share": 1.0, "grounds": "assumed"}
    gpu = {"flops": 100e12, "bytes_per_s": 1e12, "memory_gib": 10, "link_bytes_per_s": 1e11, "fp8": False}
    return Calibration.model_validate(
        {
            "calibration": "by-hand",
            "version": 1,
            "gpus": {"G": {**gpu, "boost_mhz": 1000, "board_w": 100}},
            "models": {"M": {"parameters": 1e9, "layers": 10, "hidden": 1000, "kv_heads": 10, "head_dim": 100}},
            "quantisations": {
                "fp16": {"bytes_per_weight": 2, "compute": 1},
                "fp8": {"bytes_per_weight": 1, "compute": 0.5, "needs_fp8": True},
            },
            "fitted": {
                "coefficients": coefficients,
                "efficiency": {"G": plain},
                "power": {"G": drawn},
                "errors": [],
                "workload": {"traces": {}, "rhythms": {}},
            },
        }
    )


def test_the_roofline_by_hand() -> None:
    by_hand = changed()
    assert by_hand.models["M"].kv_bytes == 2 * 10 * 10 * 100 * 2
    got = iteration_costs(by_hand, model="M", gpu_type="G", gpu_count=2)
    # Two all-reduces a layer of 1000 values of two bytes, each sent once in a ring of two.
    passed = 10 * 2 * 1000 * 2 * 2 * (2 - 1) / 2 / 1e11
    assert got.base_s == pytest.approx(2 * 10 * (1e-3 + 1e-4))
    assert got.weights_s == pytest.approx(2e9 / (2 * 1e12 * 0.5))
    assert got.prefill_s == pytest.approx(2e9 / (2 * 100e12 * 0.5) + passed)
    assert got.sequence_s == pytest.approx(got.prefill_s + 2 * 10 * 1e-6)
    assert got.attend_s == pytest.approx(4 * 10 * 1000 / (2 * 100e12))
    assert got.kv_s == pytest.approx(40_000 / (2 * 1e12))
    assert got.kv_tokens == int((0.9 * 2 * 10 * 2**30 - 2e9) // 40_000)
    ridge = got.weights_s / got.prefill_s
    assert got.seconds(chunk=ridge / 2) == pytest.approx(got.base_s + got.weights_s)
    assert got.seconds(chunk=ridge * 2) == pytest.approx(got.base_s + 2 * got.weights_s)
    assert got.seconds(writing=1, resident=1000) == pytest.approx(got.base_s + got.weights_s + 1000 * got.kv_s)
    drawn = power_shares(by_hand, model="M", gpu_type="G", gpu_count=2)
    assert drawn.decode == pytest.approx(0.3 + 0.5 * 1e-3 / (got.base_s + got.weights_s))


def test_a_slow_host_bounds_reading_from_below() -> None:
    assert iteration_costs(changed(launch_s=1e-3), model="M", gpu_type="G", gpu_count=2).weights_s == 2 * 10 * 1e-3


def test_eight_bits_help_compute_only_on_cores_that_have_them() -> None:
    old = through_weights(CALIBRATION, weights=1e9, gpu_type="A100-SXM", quantisation="fp8")
    new = through_weights(CALIBRATION, weights=1e9, gpu_type="H100-SXM", quantisation="fp8")
    assert old[1] == through_weights(CALIBRATION, weights=1e9, gpu_type="A100-SXM")[1]
    assert new[1] < through_weights(CALIBRATION, weights=1e9, gpu_type="H100-SXM")[1]
    assert old[0] == through_weights(CALIBRATION, weights=1e9, gpu_type="A100-SXM")[0] / 2


@given(
    st.tuples(*[st.floats(0, 1e5)] * 4),
    st.tuples(*[st.floats(0, 1e5)] * 4),
    st.sampled_from(sorted(CALIBRATION.gpus)),
)
def test_more_work_never_takes_less_time(load: tuple[float, ...], more: tuple[float, ...], gpu_type: str) -> None:
    one = costs("llama-3-8b", gpu_type, 2)
    names = ("writing", "resident", "chunk", "pairs")
    little = one.seconds(**dict(zip(names, load, strict=True)))
    much = one.seconds(**{name: a + b for name, a, b in zip(names, load, more, strict=True)})
    assert 0 < little <= much


@pytest.mark.parametrize("gpu_type", ["A100-SXM", "H100-SXM", "H200-SXM"])
@pytest.mark.parametrize("model", ["llama-2-70b", "llama-3-70b", "qwen-72b"])
def test_more_gpus_read_prompts_faster_and_hold_more(model: str, gpu_type: str) -> None:
    made = [costs(model, gpu_type, count) for count in (2, 4, 8)]
    for fewer, more in pairwise(made):
        assert more.seconds(chunk=2048, pairs=2048**2 / 2) < fewer.seconds(chunk=2048, pairs=2048**2 / 2)
        assert more.seconds(writing=64, resident=128_000) < fewer.seconds(writing=64, resident=128_000)
        assert more.kv_tokens > 2 * fewer.kv_tokens


def test_newer_hardware_is_faster() -> None:
    made = [costs(gpu_type=name) for name in ("A40", "A100-SXM", "H100-SXM", "H200-SXM")]
    times = [one.seconds(writing=8, resident=8000) for one in made]
    assert times == sorted(times, reverse=True)
    assert made[3].kv_tokens > made[2].kv_tokens


def test_fewer_bits_leave_more_room_and_read_faster() -> None:
    made = [costs(gpu_count=2, quantisation=name) for name in ("fp16", "fp8", "int4")]
    assert [one.kv_tokens for one in made] == sorted(one.kv_tokens for one in made)
    assert made[0].weights_s > made[1].weights_s >= made[2].weights_s


def test_power_rises_with_how_busy_the_memory_is() -> None:
    shares = [
        power_shares(CALIBRATION, model="llama-2-70b", gpu_type="A100-SXM", gpu_count=n).decode for n in (2, 4, 8)
    ]
    assert shares == sorted(shares, reverse=True)
    assert all(CALIBRATION.fitted.power["A100-SXM"].idle_share < share < 1.0 for share in shares)


def test_wrong_names_and_numbers_are_told_in_one_sentence() -> None:
    refused("there is no GPU type 'A100'; did you mean 'A100-SXM'", gpu_type="A100")
    refused("there is no model 'llama-3-8B'; did you mean 'llama-3-8b'", model="llama-3-8B")
    refused("there is no quantisation 'fp4'; did you mean 'fp", quantisation="fp4")
    refused("a replica of 0 GPUs", gpu_count=0)
    refused("kv_fraction 1.5 is not a share", kv_fraction=1.5)
    with pytest.raises(CausalrelError, match=r"there is no calibration 'llm-servin'; did you mean 'llm-serving'"):
        load_calibration("llm-servin")


def test_a_model_that_does_not_fit_is_refused_with_what_would() -> None:
    refused(r"llama-2-70b in fp16 does not fit on 1 x A100-SXM: .*use at least 2 GPUs", model="llama-2-70b")
    assert costs(gpu_count=2).kv_tokens > 0
    refused(r"use at least 5 GPUs", model="bloom-176b", gpu_count=4)
    assert costs("bloom-176b", gpu_count=5).kv_tokens > 0
    assert costs(gpu_count=1, quantisation="int4").kv_tokens > 0


def test_every_fault_of_a_document_is_told(tmp_path: Path) -> None:
    document = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    document["gpus"]["A40"]["flops"] = -1
    document["fitted"]["coefficients"]["layers_s"] = 0.1
    path = tmp_path / "calibration.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(CausalrelError, match=r"gpus\.A40\.flops.*coefficients\.layers_s: this key is not known"):
        load_calibration(str(path))
    document = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    del document["fitted"]["power"]["L40S"]
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(CausalrelError, match=r"fitted\.power lacks GPU type 'L40S'"):
        load_calibration(str(path))


@needs_measurements
def test_errors_on_cells_held_out_are_those_reported(maker: ModuleType) -> None:
    found = maker.faults_of(CALIBRATION, maker.read_measured())
    told = {fault.quantity: fault.model_dump() for fault in CALIBRATION.fitted.errors}
    assert len(found) == 4
    for fault in found:
        assert told[fault["quantity"]] == pytest.approx(fault, abs=2e-4)
        assert fault["median_held_out"] <= GOAL


@needs_measurements
def test_configurations_never_fitted_are_predicted_too(maker: ModuleType) -> None:
    measured = maker.read_measured()
    told = {fault.quantity: fault for fault in CALIBRATION.fitted.errors}
    for fault in maker.faults_elsewhere(measured, CALIBRATION.fitted.model_dump()):
        assert fault["median_held_out"] == pytest.approx(told[fault["quantity"]].median_held_out, abs=5e-3)
        assert fault["median_held_out"] <= GOAL


@needs_measurements
def test_the_document_is_made_again_byte_for_byte(maker: ModuleType) -> None:
    assert maker.make() == DOCUMENT.read_text(encoding="utf-8")


@needs_measurements
def test_a_copula_and_a_burst_shape_are_recovered(maker: ModuleType) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=20_000).T
    assert maker.correlation(np.exp(first), second**3) == pytest.approx(0.6, abs=0.02)
    mean = np.linspace(300.0, 500.0, 4000)
    assert maker.shape_of(rng.poisson(mean * rng.gamma(20.0, 1 / 20.0, 4000))) == pytest.approx(20.0, rel=0.1)
    made = maker.lengths(np.exp(rng.normal(6.0, 0.8, 20_000)))
    assert made["median"] == pytest.approx(np.exp(6.0), rel=0.03)
    assert made["sigma"] == pytest.approx(0.8, rel=0.03)
    assert made["worst_decile_held_out"] < 0.06
