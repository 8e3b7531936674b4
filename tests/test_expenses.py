"""Expenses: money, tokens and energy add up, and agree with a price table and with what was sampled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalrel as cr
from causalrel.cli import main
from causalrel.expenses import Ceilings, Prices, Rates, load_prices, tell_expenses

RATES = {"big": Rates(prompt=2.5, cached=0.25, output=10.0), "small": Rates(prompt=0.15, output=0.6)}
PRICES = Prices(prices="list", version=1, source="made up", models=RATES)
DAY = 86_400_000_000


def telemetry(rows: list[dict[str, object]]) -> cr.Telemetry:
    schema = {
        "time": pl.Int64,
        "tenant": pl.String,
        "model": pl.String,
        "node": pl.String,
        "prompt_tokens": pl.Int64,
        "cached_tokens": pl.Int64,
        "output_tokens": pl.Int64,
        "cost_usd": pl.Float64,
        "energy_j": pl.Float64,
        "error": pl.String,
    }
    frame = pl.DataFrame(rows, schema=schema).with_columns(pl.col("time").cast(pl.Datetime("us", "UTC")))
    return cr.Telemetry(requests=frame.lazy(), source="rows")


def row(
    time: int, tenant: str, model: str, tokens: tuple[int, int, int], cost: float, **more: object
) -> dict[str, object]:
    names = ("prompt_tokens", "cached_tokens", "output_tokens")
    return {
        "time": time,
        "tenant": tenant,
        "model": model,
        "cost_usd": cost,
        **dict(zip(names, tokens, strict=True)),
        **more,
    }


def test_a_bill_is_checked_by_hand() -> None:
    made = tell_expenses(
        telemetry(
            [
                row(0, "a", "big", (1000, 400, 100), 0.0026, energy_j=50.0),
                row(DAY, "a", "small", (2000, 0, 500), 0.001, energy_j=30.0),
                row(DAY, "b", "big", (0, 0, 0), 0.0, energy_j=20.0, error="oom"),
            ]
        ),
        "tenant",
        PRICES,
    ).frame()
    whole, first, second = made.iter_rows(named=True)
    assert (whole["unit"], whole["requests"], whole["failed"], whole["users"]) == ("all", 3, 1, 2)
    assert first["priced_usd"] == pytest.approx((600 * 2.5 + 400 * 0.25 + 100 * 10 + 2000 * 0.15 + 500 * 0.6) / 1e6)
    assert first["apart_usd"] == pytest.approx(0.0036 - 0.0032)
    assert whole["usd_a_user"] == pytest.approx(0.0018)
    assert whole["j_a_token"] == pytest.approx(100 / 600)
    assert whole["watts"] == pytest.approx(100 / 86_400)
    assert (second["priced_usd"], second["j_a_token"]) == (0.0, None)


amounts = st.tuples(
    st.integers(0, 6 * DAY),
    st.sampled_from("abc"),
    st.sampled_from(["big", "small"]),
    st.tuples(st.integers(0, 9000), st.integers(0, 9000), st.integers(0, 9000)),
    st.floats(0, 1e4),
    st.floats(0, 1e7),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(amounts, min_size=1, max_size=40), st.randoms())
def test_any_partition_sums_to_the_whole_and_reconciles_with_the_prices(rows: list[tuple], random: object) -> None:
    made = [row(at, who, model, tokens, cost, energy_j=energy) for at, who, model, tokens, cost, energy in rows]
    ceilings = Ceilings(request=8000, tenant_day=20_000)
    priced = PRICES.model_copy(update={"ceilings": ceilings})
    for by in ("tenant", ["tenant", "model"], "model"):
        table = tell_expenses(telemetry(made), by, priced).frame()
        whole, parts = table.row(0, named=True), table[1:]
        for name in ("requests", "prompt_tokens", "output_tokens", "requests_over"):
            assert whole[name] == parts[name].sum()
        for name in ("cost_usd", "energy_j", "priced_usd"):
            assert parts[name].sum() == pytest.approx(whole[name], rel=1e-12, abs=1e-9)
    assert whole["cost_usd"] == pytest.approx(sum(one["cost_usd"] for one in made), rel=1e-12, abs=1e-9)
    paid = sum(
        (tokens[0] - tokens[1]) * RATES[model].prompt
        + tokens[1] * (RATES[model].prompt if RATES[model].cached is None else RATES[model].cached)
        + tokens[2] * RATES[model].output
        for _, _, model, tokens, _, _ in rows
    )
    assert whole["priced_usd"] == pytest.approx(paid / 1e6, rel=1e-12, abs=1e-12)
    days: dict[tuple[str, int], int] = {}
    for at, who, _, tokens, _, _ in rows:
        days[who, at // DAY] = days.get((who, at // DAY), 0) + tokens[0] + tokens[2]
    assert whole["tenant_days_over"] == sum(used > 20_000 for used in days.values())
    shuffled = list(made)
    random.shuffle(shuffled)
    assert (
        tell_expenses(telemetry(shuffled), "tenant", priced)
        .frame()
        .equals(tell_expenses(telemetry(made), "tenant", priced).frame())
    )


def test_energy_agrees_with_the_power_that_was_sampled() -> None:
    """The bill of each node over its span against the mean of its own power samples, times its GPUs."""
    canary = cr.simulate("llm-canary", days=1)
    told = tell_expenses(canary, "node").frame()[1:].sort("unit")
    samples = canary.samples.collect()
    power = samples.filter(pl.col("metric").str.starts_with("DCGM_FI_DEV_POWER_USAGE"))
    mean = power.group_by("node").agg(pl.col("value").mean()).sort("node")
    gpus = canary.requests.select("node", "gpu_count").unique().collect().sort("node")["gpu_count"]
    assert told["watts"].to_numpy() == pytest.approx((mean["value"] * gpus).to_numpy(), rel=0.05)
    assert told["headroom"].to_numpy() == pytest.approx(1 - told["watts"].to_numpy() / told["cap_w"].to_numpy())
    assert tell_expenses(canary, "tier").frame()[1:]["headroom"].is_null().all()


def test_prices_from_a_file_and_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("prices: list\nversion: 1\nsource: us\nmodels: {chat-large: {prompt: 1, output: 4}}\n")
    monkeypatch.setattr(
        "sys.argv",
        [
            "causalrel",
            "budget",
            "llm-canary",
            "--tell",
            "expenses",
            "--prices",
            str(path),
            "--by",
            "node",
            "--format",
            "json",
        ],
    )
    assert main() == 0
    told = json.loads(capsys.readouterr().out)["rows"]
    sums = cr.load_dataset("llm-canary").requests.select(pl.col("prompt_tokens", "output_tokens").sum()).collect()
    assert told[0]["priced_usd"] == pytest.approx((sums.row(0)[0] + 4 * sums.row(0)[1]) / 1e6, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prices: p\nversion: 1\nsource: s\nmodels: {m: {prompt: -1, output: 2}}", "greater than or equal to 0"),
        ("prices: p\nversion: 1\nsource: s\nmodels: {m: {prompt: 1}}", "models.m.output: field required"),
        ("prices: p\nversion: 1\nsource: s\nmodel: {}", "model: extra inputs"),
        ("prices: p\nversion: 1\nsource: s\nmodels: {m: {prompt: .nan, output: 1}}", "valid number"),
        ("- 1", "is not usable"),
    ],
)
def test_bad_price_tables_are_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(cr.CausalrelError) as caught:
        load_prices(tmp_path / "p.yaml")
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_what_tells_no_cost_or_no_price_is_refused(tmp_path: Path) -> None:
    bare = cr.Telemetry(requests=pl.LazyFrame(schema={"time": pl.Datetime("us", "UTC"), "tenant": pl.String}))
    with pytest.raises(cr.CausalrelError, match="expenses needs column 'cost_usd'"):
        tell_expenses(bare, "tenant")
    unknown = telemetry([row(0, "a", "huge", (1, 0, 1), 1.0)])
    with pytest.raises(cr.CausalrelError, match="there is no model priced by 'list' 'huge'"):
        tell_expenses(unknown, "tenant", PRICES)
    with pytest.raises(cr.CausalrelError, match="did you mean 'tenant'"):
        tell_expenses(unknown, "tenent")
    with pytest.raises(cr.CausalrelError, match="no such file"):
        load_prices(tmp_path / "none.yaml")
    odd = telemetry([row(0, "a", "big", (1, 0, 1), value) for value in (np.nan, np.inf, -1.0, 2.0)])
    assert tell_expenses(odd, "tenant").frame()["cost_usd"][0] == 2.0
