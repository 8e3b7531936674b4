"""The compiled engine against a plain loop: one node, one iteration at a time, with lists and dictionaries."""

from __future__ import annotations

import heapq
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated import bare, client, written

from causalrel.simulation.engine import ENDINGS, speeds
from causalrel.simulation.hardware import Costs, iteration_costs, load_calibration
from causalrel.simulation.runs import Run, run_scenario

STEP_S = 60.0
GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0
SENDS, GIVES_UP, FALLS = "sends", "gives up", "falls"


class PlainLoop:
    """One node as the documents describe it; nothing here is taken from the compiled loop."""

    def __init__(self, run: Run, costs: Costs) -> None:
        self.run, self.costs, self.work = run, costs, run.work
        self.values = {name: values[0] for name, values in run.conditions.values.items()}
        self.prefill, self.decode = (speed[0] for speed in speeds(run.scenario, run.conditions))
        size = run.work.time_s.size
        self.tenants = run.scenario.workload.tenants
        self.lengths = [t.prefixes.tokens for t in self.tenants if t.prefixes for _ in range(t.prefixes.count)]
        self.of = {name: np.full(size, np.nan) for name in ("start_s", "first_s", "end_s", "last_s")}
        self.of |= {name: np.zeros(size) for name in ("stall_s", "node_s", "read_s")}
        self.of |= {name: np.zeros(size, int) for name in ("made", "read", "cached", "preemptions", "attempts")}
        self.ending = np.full(size, -1)
        self.events = [(float(at), 2, SENDS, i, 0) for i, at in enumerate(run.work.time_s)]
        fell = np.flatnonzero(np.diff(self.values["node_up"], prepend=1.0) < 0)
        self.events += [(float(step) * STEP_S, 0, FALLS, -1, 0) for step in fell]
        heapq.heapify(self.events)
        self.queue: list[int] = []
        self.pushed: list[int] = []
        self.batch: list[list[int]] = []  # request and prompt tokens still to read, oldest first
        self.cache: dict[int, float] = {}
        self.bucket = {place: [t.quota.burst, 0.0] for place, t in enumerate(self.tenants) if t.quota}
        self.now = 0.0

    def at(self, name: str, moment: float) -> float:
        return float(self.values[name][min(int(moment // STEP_S), self.decode.size - 1)])

    def run_all(self) -> PlainLoop:
        while self.events or self.batch or self.pushed or self.queue:
            while self.events and self.events[0][0] <= self.now:
                self.happen(*heapq.heappop(self.events))
            self.admit()
            if self.resident() + len(self.batch) > self.costs.kv_tokens:
                self.evict()
            elif self.batch:
                self.iterate()
            elif not self.queue and not self.pushed and self.events:
                self.now = max(self.now, self.events[0][0])
        return self

    def happen(self, moment: float, _order: int, what: str, i: int, attempt: int) -> None:
        if what == SENDS:
            self.send(i, moment)
        elif what == FALLS:
            then = max(moment, self.now)
            gone = [j for j, _ in reversed(self.batch)] + self.pushed[::-1] + self.queue
            self.batch, self.pushed, self.queue, self.cache = [], [], [], {}
            for j in gone:
                self.fail(j, "unavailable", then)
        elif self.of["attempts"][i] == attempt and self.of["made"][i] == 0 and i in self.here():
            self.queue = [j for j in self.queue if j != i]
            self.pushed = [j for j in self.pushed if j != i]
            self.batch = [entry for entry in self.batch if entry[0] != i]
            self.fail(i, "timeout", moment)

    def here(self) -> list[int]:
        return [*self.queue, *self.pushed, *(i for i, _ in self.batch)]

    def send(self, i: int, moment: float) -> None:
        self.of["attempts"][i] += 1
        tenant = int(self.work.tenant[i])
        if tenant in self.bucket:
            quota = self.tenants[tenant].quota
            left, since = self.bucket[tenant]
            left = min(quota.burst, left + (moment - since) * quota.requests_per_minute / 60.0)
            self.bucket[tenant] = [left - 1.0 if left >= 1.0 else left, moment]
            if left < 1.0:
                return self.fail(i, "quota", moment)
        if not self.at("node_up", moment):
            return self.fail(i, "unavailable", moment)
        limit = self.at("admission_limit", moment)
        if limit and len(self.queue) >= limit:
            return self.fail(i, "overloaded", moment)
        self.queue.append(i)
        deadline = moment + self.work.patience_s[i]
        return heapq.heappush(self.events, (deadline, 1, GIVES_UP, i, int(self.of["attempts"][i])))

    def fail(self, i: int, why: str, moment: float) -> None:
        tenant, attempt = self.tenants[self.work.tenant[i]], int(self.of["attempts"][i])
        if attempt > tenant.retries:
            self.finish(i, why, moment)
            return
        jitter = 0.5 + (self.work.route[1, i] + GOLDEN * attempt) % 1.0
        wait = tenant.backoff.total_seconds() * 2 ** (attempt - 1) * jitter
        self.of["start_s"][i] = self.of["first_s"][i] = np.nan
        self.of["made"][i] = 0
        heapq.heappush(self.events, (moment + wait, 1, SENDS, i, attempt))

    def finish(self, i: int, why: str | None, moment: float) -> None:
        self.ending[i], self.of["end_s"][i] = ENDINGS.index(why), moment

    def resident(self) -> int:
        return sum(int(self.work.prompt_tokens[i] + self.of["made"][i]) for i, _ in self.batch)

    def admit(self) -> None:
        while len(self.batch) < self.at("batch_size", self.now) and (self.pushed or self.queue):
            i = self.pushed[-1] if self.pushed else self.queue[0]
            need = int(self.work.prompt_tokens[i] + self.of["made"][i])
            if not self.pushed and need >= self.costs.kv_tokens:
                self.finish(self.queue.pop(0), "oom", self.now)
                continue
            if self.batch and self.resident() + need + len(self.batch) + 1 > self.costs.kv_tokens:
                return
            if self.pushed:
                self.pushed.pop()
            else:
                self.of["start_s"][self.queue.pop(0)] = self.now
            self.of["cached"][i] = self.look_up(i)
            self.batch.append([i, need - int(self.of["cached"][i])])

    def look_up(self, i: int) -> int:
        prefix, room = int(self.work.prefix[i]), self.at("prompt_cache_tokens", self.now)
        template = list(self.run.scenario.templates.values())[int(self.at("prompt_template", self.now))]
        if prefix < 0 or self.work.prefix_draw[i] >= template.reuse or self.lengths[prefix] > room:
            return 0
        known = prefix in self.cache
        while not known and sum(self.lengths[each] for each in self.cache) + self.lengths[prefix] > room:
            self.cache.pop(min(self.cache, key=lambda each: (self.cache[each], each)))
        self.cache[prefix] = self.now
        return min(self.lengths[prefix], int(self.work.prompt_tokens[i]) - 1) if known else 0

    def evict(self) -> None:
        alone = len(self.batch) == 1
        i, _ = self.batch.pop()
        self.of["preemptions"][i] += 1
        if alone or self.of["preemptions"][i] > self.run.scenario.engine.most_preemptions:
            self.finish(i, "oom", self.now)
        else:
            self.pushed.append(i)

    def iterate(self) -> None:
        step = min(int(self.now // STEP_S), self.decode.size - 1)
        slow, fast = self.decode[step], self.prefill[step]
        costs = replace(
            self.costs,
            base_s=self.costs.base_s / slow,
            weights_s=self.costs.weights_s / slow,
            sequence_s=self.costs.sequence_s / slow,
            kv_s=self.costs.kv_s / slow,
            prefill_s=self.costs.prefill_s / fast,
            attend_s=self.costs.attend_s / fast,
        )
        writing = [i for i, left in self.batch if left == 0]
        chunks = self.share_out(len(writing))
        if chunks and not self.at("chunked_prefill", self.now):
            writing = []
        pairs = {}
        for i, chunk in chunks.items():
            left = next(left for j, left in self.batch if j == i)
            before = int(self.work.prompt_tokens[i] + self.of["made"][i]) - left
            pairs[i] = chunk * (before + chunk / 2)
            self.of["read"][i] += chunk
            self.of["read_s"][i] += costs.prefill_s * chunk + costs.attend_s * pairs[i]
        held = sum(int(self.work.prompt_tokens[i] + self.of["made"][i]) for i in writing)
        asked = {"chunk": sum(chunks.values()), "pairs": sum(pairs.values())}
        length = costs.seconds(writing=len(writing), resident=held, **asked)
        self.now += length
        for entry in self.batch:
            self.of["node_s"][entry[0]] += length / len(self.batch)
            if entry[0] in chunks:
                entry[1] -= chunks[entry[0]]
                writing += [entry[0]] * (entry[1] == 0)
        for i in writing:
            self.write(i)
        self.batch = [entry for entry in self.batch if self.ending[entry[0]] < 0]

    def share_out(self, writing: int) -> dict[int, int]:
        budget, taken = int(self.at("max_batched_tokens", self.now)), 0
        chunks: dict[int, int] = {}
        whole = not self.at("chunked_prefill", self.now)
        budget = budget if whole else max(1, budget - writing)
        for i, left in self.batch:
            if left == 0:
                continue
            if (whole and taken and taken + left > budget) or (not whole and taken >= budget):
                break
            chunks[i] = left if whole else min(left, budget - taken)
            taken += chunks[i]
        return chunks

    def write(self, i: int) -> None:
        of = self.of
        if of["made"][i] == 0:
            of["first_s"][i] = self.now
        else:
            of["stall_s"][i] = max(of["stall_s"][i], self.now - of["last_s"][i])
        of["last_s"][i] = self.now
        of["made"][i] += 1
        if of["made"][i] == self.work.output_tokens[i]:
            self.finish(i, None, self.now)


def tenants() -> list[dict[str, Any]]:
    """Return impatient clients with shared beginnings, and stubborn ones under a quota."""
    impatient = client(
        share=0.7,
        timeout="4s",
        retries=2,
        backoff="1s",
        prompt_tokens={"median": 700, "sigma": 0.8, "most": 6000},
        output_tokens={"median": 60, "sigma": 0.8, "most": 600},
        prefixes={"count": 8, "tokens": 256, "share": 0.8, "skew": 0.7},
    )
    stubborn = client(
        name="b",
        share=0.3,
        timeout="60s",
        retries=1,
        backoff="3s",
        prompt_tokens={"median": 1500, "sigma": 0.5, "most": 6000},
        output_tokens={"median": 90, "sigma": 0.5, "most": 600},
        prefixes={"count": 3, "tokens": 500, "share": 0.6, "skew": 1.0},
        quota={"requests_per_minute": 30, "burst": 5},
    )
    return [impatient, stubborn]


IN_SECONDS = Costs(
    base_s=0.012, weights_s=0.0, prefill_s=1.1e-4, attend_s=2e-9, sequence_s=4e-4, kv_s=4e-8, kv_tokens=12_000
)
IN_MODEL = {"model": "llama-3-70b", "gpu_type": "H100-SXM", "gpu_count": 2, "quantisation": "fp16", "kv_fraction": 0.9}


def in_seconds(folder: Path, rate: float, **changes: Any) -> str:
    costs = {
        "base_s": IN_SECONDS.base_s,
        "prefill_s_per_token": IN_SECONDS.prefill_s,
        "attend_s_per_token2": IN_SECONDS.attend_s,
        "sequence_s": IN_SECONDS.sequence_s,
        "kv_s_per_token": IN_SECONDS.kv_s,
        "kv_tokens": IN_SECONDS.kv_tokens,
    }
    return written(folder, bare(rate, 12, tenants=tenants(), costs=costs), **BUSY | changes)


def in_model(folder: Path, rate: float, **changes: Any) -> str:
    document = bare(rate, 24, tenants=tenants(), model="llama-3-70b")
    return written(folder, document, fleet__pools__0__gpu_count=2, **BUSY | changes)


BUSY = {
    "workload__burst_shape": 3,
    "workload__burst_every": "5m",
    "config__max_batched_tokens": 512,
    "config__prompt_cache_tokens": 1200,
    "fleet__clock_sd": 0.03,
    "fleet__speed_sd": 0.05,
    "fleet__failures": {"crashes_per_day": 150, "restart": "2m"},
    "templates": {"plain": {"reuse": 0.9}, "odd": {"reuse": 0.3}},
    "rollouts": [{"set": "prompt_template", "to": "odd", "steps": [{"after": "10m"}]}],
    "versions": {"v1": {"prefill": 1.1, "decode": 0.9}},
}


CASES = {
    "plain": {},
    "whole prompts": {"config__chunked_prefill": "off"},
    "short queue": {"config__admission_limit": 3},
    "tight memory": {"engine__most_preemptions": 0},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("write", [in_seconds, in_model])
def test_leaps_equal_a_plain_loop(tmp_path: Path, write: Any, case: str) -> None:
    """Sums in closed form differ from sums one by one by rounding alone: 1e-6 s in twenty minutes and their end."""
    run = run_scenario(write(tmp_path, 2.8, **CASES[case]), days=1 / 72, seed=4)
    costs = IN_SECONDS if write is in_seconds else iteration_costs(load_calibration(), **IN_MODEL)
    plain, served = PlainLoop(run, costs).run_all(), run.served
    assert np.array_equal(served.ending, plain.ending)
    for name in ("made", "read", "cached", "preemptions", "attempts"):
        assert np.array_equal(getattr(served, name), plain.of[name]), name
    for name in ("start_s", "first_s", "end_s", "stall_s", "node_s", "read_s"):
        close = np.allclose(getattr(served, name), plain.of[name], rtol=0, atol=1e-6, equal_nan=True)
        assert close, name


def test_the_oracle_sees_every_mechanism(tmp_path: Path) -> None:
    """What the comparison above would be blind to if its scenarios never did it."""
    short, tight = (
        run_scenario(in_seconds(tmp_path, 2.8, **CASES[case]), days=1 / 72, seed=4).served
        for case in ("short queue", "tight memory")
    )
    assert set(short.ending.tolist()) >= {ENDINGS.index(each) for each in (None, "quota", "overloaded", "unavailable")}
    assert {ENDINGS.index("timeout"), ENDINGS.index("oom")} <= set(tight.ending.tolist())
    assert (short.preemptions[short.ending == 0] > 0).any()
    for served in (short, tight):
        assert (served.attempts[served.ending == 0] > 1).any()
        assert (served.cached > 0).any()
