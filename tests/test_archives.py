"""Archives: a saved network answers as the fitted one did, and a file that is not as saved is told in a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_mechanisms import waving_world
from worlds import serving_graph, serving_world

import causalrel as cr
from causalrel.archives import _canonical, _digest


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    windows, _ = serving_world(days=3)
    return cr.save_network(cr.fit(windows, serving_graph()), tmp_path / "network.json")


def change(path: Path, **new: object) -> None:
    """Rewrite a document with its fingerprint made right, as someone who knows how would."""
    text = {**json.loads(path.read_text()), **new}
    text["fingerprint"] = _digest(_canonical(text))
    path.write_text(json.dumps(text))


def rewrite_arrays(path: Path, **new: np.ndarray) -> None:
    held = path.with_suffix(".npz")
    with np.load(held) as file:
        arrays = {name: file[name] for name in file}
    np.savez(held, **{**arrays, **new})
    change(path, arrays=_digest(held.read_bytes()))


@pytest.mark.parametrize("world", [waving_world, lambda: (serving_world()[0], serving_graph())])
def test_a_saved_network_answers_as_the_fitted_one(world, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    windows, graph = world()
    network = cr.fit(windows, graph)
    again = cr.load_network(cr.save_network(network, tmp_path / "network.json"))
    one, two = (cr.whatif(windows, made, do={"batch_size": 8}, horizon="1d") for made in (network, again))
    assert np.array_equal(one.draws, two.draws)
    assert again.checks == network.checks
    assert again.origin == network.origin


def test_the_same_network_is_saved_as_the_same_bytes(tmp_path: Path) -> None:
    windows, _ = serving_world(days=3)
    network = cr.fit(windows, serving_graph())
    one, two = (cr.save_network(network, tmp_path / name) for name in ("one.json", "two.json"))
    assert one.read_bytes() == two.read_bytes()
    assert one.with_suffix(".npz").read_bytes() == two.with_suffix(".npz").read_bytes()


def test_a_loaded_network_needs_no_library_it_was_fitted_with(tmp_path: Path) -> None:
    windows, graph = waving_world()
    path = cr.save_network(cr.fit(windows, graph), tmp_path / "network.json")
    program = (
        "import sys, numpy as np, causalrel as cr\n"
        f"network = cr.load_network({str(path)!r})\n"
        "queue = network.mechanism('queue_s')\n"
        "queue.predictor({name: np.ones(3) for name in queue.parents})\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint({"sklearn", "scipy", "dowhy", "pgmpy", "pymc", "pickle5"})


def test_saved_by_a_newer_version(saved: Path) -> None:
    change(saved, schema=99)
    with pytest.raises(cr.CausalrelError, match="schema 99, and this version reads up to 1; update causalrel"):
        cr.load_network(saved)


def test_values_that_are_no_numbers(saved: Path) -> None:
    with np.load(saved.with_suffix(".npz")) as file:
        broken = np.full_like(file["a0"], np.nan)
    rewrite_arrays(saved, a0=broken)
    with pytest.raises(cr.CausalrelError, match="'a0' holds values that are no numbers"):
        cr.load_network(saved)


def test_shapes_past_all_memory(saved: Path) -> None:
    change(saved, shapes={"a0": [10**6, 10**6]})
    with pytest.raises(cr.CausalrelError, match=r"hold over .* numbers"):
        cr.load_network(saved)


def test_arrays_that_grew_since(saved: Path) -> None:
    rewrite_arrays(saved, a0=np.zeros((3, 3)))
    with pytest.raises(cr.CausalrelError, match="another shape than the JSON says"):
        cr.load_network(saved)


def test_missing_arrays(saved: Path) -> None:
    saved.with_suffix(".npz").unlink()
    with pytest.raises(cr.CausalrelError, match=r"its arrays 'network.npz' are missing; copy both files"):
        cr.load_network(saved)


def test_a_changed_document_and_changed_arrays(saved: Path) -> None:
    text = saved.read_text()
    saved.write_text(text.replace('"world"', '"w0rld"'))
    with pytest.raises(cr.CausalrelError, match="changed since it was saved"):
        cr.load_network(saved)
    saved.write_text(text)
    with saved.with_suffix(".npz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(cr.CausalrelError, match="not the file that was saved with the JSON"):
        cr.load_network(saved)


def test_a_network_of_other_columns(saved: Path) -> None:
    windows, _ = serving_world(days=3)
    fewer = cr.Windows(
        table=windows.table.drop("queue_s"), width=windows.width, slos=windows.slos, variables=windows.variables[:-1]
    )
    with pytest.raises(cr.CausalrelError, match="the network has queue_s, which the windows lack"):
        cr.forecast(fewer, cr.load_network(saved), horizon="1d")


def test_pickled_objects_among_the_arrays_are_never_loaded(saved: Path) -> None:
    with np.load(saved.with_suffix(".npz")) as file:
        shape = file["a0"].shape
    rewrite_arrays(saved, a0=np.full(shape, object()))
    with pytest.raises(cr.CausalrelError, match="holds no plain arrays"):
        cr.load_network(saved)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"schema": true}'])
def test_what_is_no_network(tmp_path: Path, text: str) -> None:
    path = tmp_path / "network.json"
    path.write_text(text)
    with pytest.raises(cr.CausalrelError, match="cannot read"):
        cr.load_network(path)


def test_unknown_keys_and_forms_are_refused(saved: Path) -> None:
    facts = json.loads(saved.read_text())["network"]
    change(saved, network={**facts, "more": 1})
    with pytest.raises(cr.CausalrelError, match="it is no network"):
        cr.load_network(saved)
    facts["mechanisms"][0]["form"] = "magic"
    change(saved, network=facts)
    with pytest.raises(cr.CausalrelError, match="'magic' is none of observed"):
        cr.load_network(saved)
