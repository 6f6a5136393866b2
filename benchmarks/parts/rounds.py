"""Cases round after round, interleaved, so that a busy neighbour disturbs all of them alike; then medians."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from benchmarks.parts.cases import ROOT, Case, Running, running

WARM_UP_SECONDS, WARM_UP_REQUESTS = 2.0, 300
IN_FLIGHT = 64
RECORDED_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """One case in one round. CPU is that of every process, until all is recorded; latencies are in milliseconds."""

    case: str
    durability: str
    round: int
    p50_ms: float
    p99_ms: float
    per_second: float
    p50_at_64_ms: float
    p99_at_64_ms: float
    cpu_ms: float
    record_lag_s: float
    requests: int
    recorded: int


@dataclass(frozen=True, slots=True)
class Ratios:
    """The median of a case's figures, and of its ratios to the reference of the same round."""

    case: str
    durability: str
    rounds: int
    p50_ms: float
    p99_ms: float
    per_second: float
    p99_at_64_ms: float
    cpu_ms: float
    latency_ratio: float | None
    throughput_ratio: float | None
    cpu_ratio: float | None


@dataclass(frozen=True, slots=True)
class Load:
    """How long and how much."""

    seconds: float
    most: int = 1_000_000


def run_rounds(
    cases: Sequence[Case], durabilities: Sequence[str], *, rounds: int, load: Load, tell: Callable[[Result], None]
) -> list[Result]:
    """Run every case once in every round and durability."""
    results: list[Result] = []
    for number in range(1, rounds + 1):
        for durability in durabilities:
            for case in cases:
                result = run_case(case, durability, number, load)
                results.append(result)
                tell(result)
    return results


def run_case(case: Case, durability: str, number: int, load: Load) -> Result:
    """Start a case, ask it, and count what it recorded."""
    with (
        tempfile.TemporaryDirectory(prefix="evolvent-bench-") as folder,
        running(case, Path(folder), durability) as platform,
        _Asker(case, platform) as asker,
    ):
        warm = asker.ask(in_flight=8, seconds=WARM_UP_SECONDS, most=min(WARM_UP_REQUESTS, load.most))
        alone = asker.ask(in_flight=1, seconds=load.seconds, most=load.most)
        before = int(warm["requests"] + alone["requests"])
        _wait_recorded(platform, before)
        cpu_before = _cpu_seconds((*platform.pids, asker.pid))
        together = asker.ask(in_flight=IN_FLIGHT, seconds=load.seconds, most=load.most)
        requests = before + int(together["requests"])
        ended = time.monotonic()
        recorded = _wait_recorded(platform, requests)
        lag = time.monotonic() - ended
        cpu = _cpu_seconds((*platform.pids, asker.pid)) - cpu_before
    return Result(
        case.name,
        durability,
        number,
        p50_ms=alone["p50_ms"],
        p99_ms=alone["p99_ms"],
        per_second=together["per_second"],
        p50_at_64_ms=together["p50_ms"],
        p99_at_64_ms=together["p99_ms"],
        cpu_ms=cpu * 1e3 / together["requests"],
        record_lag_s=lag,
        requests=requests,
        recorded=recorded,
    )


def summed_up(results: Iterable[Result], reference: str) -> list[Ratios]:
    """Return medians over the rounds, and the median of the ratios taken within each round."""
    by_key: dict[tuple[str, str], dict[int, Result]] = {}
    for result in results:
        by_key.setdefault((result.durability, result.case), {})[result.round] = result
    return [_summed_up(of_case, by_key.get((durability, reference), {})) for (durability, _), of_case in by_key.items()]


def _summed_up(of_case: Mapping[int, Result], base: Mapping[int, Result]) -> Ratios:
    some = next(iter(of_case.values()))

    def median(name: str) -> float:
        return float(statistics.median(getattr(result, name) for result in of_case.values()))

    def ratio(name: str) -> float | None:
        pairs = [(getattr(result, name), getattr(base[n], name)) for n, result in of_case.items() if n in base]
        found = [own / reference for own, reference in pairs if reference]
        return float(statistics.median(found)) if found else None

    return Ratios(
        some.case,
        some.durability,
        len(of_case),
        p50_ms=median("p50_ms"),
        p99_ms=median("p99_ms"),
        per_second=median("per_second"),
        p99_at_64_ms=median("p99_at_64_ms"),
        cpu_ms=median("cpu_ms"),
        latency_ratio=ratio("p50_ms"),
        throughput_ratio=ratio("per_second"),
        cpu_ratio=ratio("cpu_ms"),
    )


def as_json(result: Result | Ratios) -> str:
    """Return a line for machines."""
    found = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(result).items()}
    return json.dumps({"kind": type(result).__name__.lower(), **found})


class _Asker:
    """The client process."""

    def __init__(self, case: Case, platform: Running) -> None:
        command = [sys.executable, "-m", "benchmarks.parts.asker", case.asker, str(platform.connection_file)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.pid = self._process.pid

    def __enter__(self) -> _Asker:
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def ask(self, *, in_flight: int, seconds: float, most: int) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"in_flight": in_flight, "seconds": seconds, "most": most}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, float] = json.loads(self._answer())
        return answer

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("The client process ended; its last words are above.")
        return line


def _wait_recorded(platform: Running, requests: int) -> int:
    end = time.monotonic() + RECORDED_WITHIN_SECONDS
    while (found := platform.recorded()) < requests and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of these processes and all their children."""
    total = 0.0
    for pid in pids:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            total += times.user + times.system
    return total
