"""Latency at a given rate, open loop: calls start when they are due, whether or not earlier ones were answered.

    python -m loadtests.open_loop --target 127.0.0.1:50051 --program welcome --rate 200 --seconds 20

Latency counts from the moment a call was due, so that a stall shows in every call that it delayed and not only in
the one that hit it ("coordinated omission"; Tene, How NOT to Measure Latency).
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import Annotated

import grpc
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from decision_service.contract.pb import decision_service_pb2_grpc
from decision_service.core.model.record import DecideRequest
from loadtests.traffic import PROGRAM, context, message_of

CHANNELS = 8


def due_times(rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds from the start at which calls are due: a Poisson process."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, size=int(rate * seconds * 2) + 10)
    times = np.cumsum(gaps)
    return [float(t) for t in times[times < seconds]]


def main(
    target: Annotated[str, typer.Option(help="Address of the service.")] = "127.0.0.1:50051",
    program: Annotated[str, typer.Option(help="Published program to decide by.")] = PROGRAM,
    rate: Annotated[float, typer.Option(help="Calls per second.")] = 200.0,
    seconds: Annotated[float, typer.Option(help="Length.")] = 20.0,
    customers: Annotated[int, typer.Option(help="Customers are c00000 to this number.")] = 2_000,
    deadline_ms: Annotated[int, typer.Option(help="Deadline of each call.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Of arrival times and customers.")] = 1,
) -> None:
    """Print latency percentiles and results by gRPC code; exit code 1 if a call failed."""
    source = random.Random(seed)
    run = f"open-{time.time_ns()}"
    latencies: list[float] = []
    codes: Counter[str] = Counter()
    lock = threading.Lock()
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.insecure_channel(target, options=options) for _ in range(CHANNELS)]
    for channel in channels:
        grpc.channel_ready_future(channel).result(10)
    stubs = [decision_service_pb2_grpc.DecisionServiceStub(channel) for channel in channels]
    times = due_times(rate, seconds, seed)
    start = time.perf_counter()

    def note(call: grpc.Future, due: float) -> None:
        latency = time.perf_counter() - start - due
        with lock:
            latencies.append(latency)
            codes[call.code().name] += 1

    for number, due in enumerate(times):
        customer = f"c{source.randrange(customers):05d}"
        message = message_of(DecideRequest(f"{run}-{number}", customer, (program,), context(source)))
        if (wait := start + due - time.perf_counter()) > 0:
            time.sleep(wait)
        call = stubs[number % CHANNELS].Decide.future(message, timeout=deadline_ms / 1000)
        call.add_done_callback(lambda call, due=due: note(call, due))
    while len(latencies) < len(times):
        time.sleep(0.01)
    for channel in channels:
        channel.close()
    _print(latencies, codes, rate)
    if set(codes) != {"OK"}:
        raise typer.Exit(1)


def _print(latencies_s: list[float], codes: Counter[str], rate: float) -> None:
    percentiles = (50, 90, 99, 99.9, 100)
    table = Table("calls", *(f"p{p:g} ms" for p in percentiles), title=f"open loop, {rate:g} calls/s")
    table.add_row(str(len(latencies_s)), *(f"{v * 1000:.2f}" for v in np.percentile(latencies_s, percentiles)))
    console = Console()
    console.print(table)
    console.print(", ".join(f"{code} {count:,}" for code, count in sorted(codes.items())))


if __name__ == "__main__":
    typer.run(main)
