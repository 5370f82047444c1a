"""`make bench`: Decide beside a no-op gRPC server of the same kind with the same messages, in one run.

Each server is one process, the caller another. Rounds alternate between the two, so that what else the machine does
meets both. Latency is that of one caller in a closed loop, throughput and CPU those of several.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import grpc
import numpy as np
import psutil
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from decision_service.adapters.redis.embedded import free_port
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.contract.pb import decision_service_pb2_grpc
from loadtests.environment import Environment, Prepared
from loadtests.traffic import message_of, requests

RESULTS = Path(__file__).parent / "results" / "latest.json"
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


@dataclass
class Subject:
    """One server: where it listens, the processes whose CPU it uses, and what was measured."""

    name: str
    target: str
    processes: list[psutil.Process]
    redis: list[psutil.Process] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    rps: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    redis_cpu_ms: list[float] = field(default_factory=list)

    def result(self) -> dict[str, float]:
        """Throughput and CPU are medians over rounds, latencies percentiles over all calls of one caller."""
        p50, p99 = np.percentile(self.latencies_s, (50, 99)) * 1000
        result = {
            "rps": float(np.median(self.rps)),
            "p50_ms": float(p50),
            "p99_ms": float(p99),
            "cpu_ms_per_request": float(np.median(self.cpu_ms)),
        }
        if self.redis:
            result["redis_cpu_ms_per_request"] = float(np.median(self.redis_cpu_ms))
        return result


@contextmanager
def noop_server(response: pb.DecideResponse, folder: Path) -> Iterator[Subject]:
    """The no-op server as a process of its own."""
    target = f"127.0.0.1:{free_port()}"
    file = folder / "response.bin"
    file.write_bytes(response.SerializeToString())
    command = [sys.executable, "-m", "loadtests.noop_server", target, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != b"ready":
            raise SystemExit("the no-op server did not start")
        yield Subject("noop", target, [psutil.Process(process.pid)])
        process.communicate()


def decide_subject(environment: Environment) -> Subject:
    """The product's worker, with the Redis server that it waits for."""
    workers = [psutil.Process(pid) for pid in environment.stack.pids("worker")]
    redis = [child for child in psutil.Process().children() if child.name().startswith("redis-server")]
    return Subject("decide", environment.stack.target, workers, redis)


def call_for(target: str, messages: Iterator[pb.DecideRequest], seconds: float) -> list[float]:
    """One caller in a closed loop; the latency of every call in seconds."""
    latencies = []
    with grpc.insecure_channel(target, options=OPTIONS) as channel:
        decide = decision_service_pb2_grpc.DecisionServiceStub(channel).Decide
        decide(next(messages), timeout=10)  # connects
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            decide(next(messages), timeout=10)
            latencies.append(time.perf_counter() - start)
    return latencies


def cpu_s(processes: list[psutil.Process]) -> float:
    """User and system time so far."""
    return sum(t.user + t.system for t in (p.cpu_times() for p in processes))


def measure(
    subject: Subject, messages: Callable[[int], Iterator[pb.DecideRequest]], callers: int, seconds: float
) -> None:
    """One round: one caller for latency, then several for throughput and CPU."""
    subject.latencies_s += call_for(subject.target, messages(0), seconds)
    counts = [0] * callers

    def work(caller: int) -> None:
        counts[caller] = len(call_for(subject.target, messages(caller + 1), seconds))

    threads = [threading.Thread(target=work, args=(caller,)) for caller in range(callers)]
    before, redis_before, start = cpu_s(subject.processes), cpu_s(subject.redis), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed, done = time.perf_counter() - start, sum(counts) + callers
    subject.rps.append(done / elapsed)
    subject.cpu_ms.append((cpu_s(subject.processes) - before) / done * 1000)
    subject.redis_cpu_ms.append((cpu_s(subject.redis) - redis_before) / done * 1000)


def main(
    rounds: Annotated[int, typer.Option(help="Alternating rounds; the first more, to warm up, is not counted.")] = 4,
    seconds: Annotated[float, typer.Option(help="Length of each half of a round, per server.")] = 2.0,
    callers: Annotated[int, typer.Option(help="Concurrent callers for throughput.")] = 8,
    output: Annotated[Path, typer.Option(help="Where to write the JSON result.")] = RESULTS,
) -> None:
    """Measure Decide beside a no-op server, print a table with ratios, write JSON."""
    console = Console()
    console.print("starting Redis, features, model, worker …")
    with (
        tempfile.TemporaryDirectory() as scratch,
        Prepared(Path(scratch)) as environment,
        noop_server(_one_response(environment), Path(scratch)) as noop,
    ):
        subjects = [noop, decide_subject(environment)]
        _run(subjects, environment, rounds, seconds, callers)
    results = {subject.name: subject.result() for subject in subjects}
    ratios = {
        "p50": results["decide"]["p50_ms"] / results["noop"]["p50_ms"],
        "p99": results["decide"]["p99_ms"] / results["noop"]["p99_ms"],
        "rps": results["decide"]["rps"] / results["noop"]["rps"],
        "cpu": results["decide"]["cpu_ms_per_request"] / results["noop"]["cpu_ms_per_request"],
    }
    machine = f"{psutil.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    document = {**results, "ratios": ratios, "machine": machine, "rounds": rounds, "callers": callers}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=2) + "\n")
    console.print(_table(results, ratios, callers))
    console.print(f"[dim]{machine}; written to {output}[/dim]")


def _one_response(environment: Environment) -> pb.DecideResponse:
    with grpc.insecure_channel(environment.stack.target) as channel:
        stub = decision_service_pb2_grpc.DecisionServiceStub(channel)
        response: pb.DecideResponse = stub.Decide(message_of(next(requests(environment.customers, "one", 0))))
    return response


def _run(subjects: list[Subject], environment: Environment, rounds: int, seconds: float, callers: int) -> None:
    with Progress(transient=True) as progress:
        task = progress.add_task("measuring", total=len(subjects) * (rounds + 1))
        for number in range(rounds + 1):
            for subject in subjects if number % 2 else reversed(subjects):
                prefix = f"{subject.name}-{number}"

                def messages(caller: int, prefix: str = prefix, number: int = number) -> Iterator[pb.DecideRequest]:
                    return map(message_of, requests(environment.customers, f"{prefix}-{caller}", number * 100 + caller))

                measure(subject, messages, callers, seconds if number else seconds / 2)
                progress.advance(task)
            if number == 0:
                for subject in subjects:
                    for samples in (subject.latencies_s, subject.rps, subject.cpu_ms, subject.redis_cpu_ms):
                        samples.clear()


def _table(results: dict[str, dict[str, float]], ratios: dict[str, float], callers: int) -> Table:
    table = Table("", "p50 ms", "p99 ms", "requests/s", "server CPU ms", "Redis CPU ms")
    table.title = f"one caller (latency), {callers} callers (throughput, CPU per request)"
    for name, row in results.items():
        redis = row.get("redis_cpu_ms_per_request")
        table.add_row(
            name,
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['rps']:,.0f}",
            f"{row['cpu_ms_per_request']:.3f}",
            "" if redis is None else f"{redis:.3f}",
        )
    table.add_section()
    table.add_row("decide ÷ noop", *(f"× {ratios[name]:.2f}" for name in ("p50", "p99", "rps", "cpu")))
    return table


if __name__ == "__main__":
    typer.run(main)
