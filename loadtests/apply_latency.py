"""How long a published program takes until every worker decides by it.

    python -m loadtests.apply_latency --versions 200 --workers 2

Each worker is asked over a connection of its own, again and again; a version is in effect once an answer of every
worker names it. Broken programs in between must be refused whole: no version more, and no answer by anything else.
"""

from __future__ import annotations

import itertools
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import grpc
import numpy as np
import psutil
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from decision_service.client import DecisionClient
from decision_service.contract.pb import decision_service_pb2_grpc
from decision_service.core.model.errors import InvalidRequest
from loadtests.environment import HERE, Prepared
from loadtests.traffic import PROGRAM, message_of, requests

BOUND_S = 1.0
"""What the documentation promises."""

PAUSE_S = 0.002  # between two questions to one worker; how finely the moment is known
REST_S = 0.3  # at most, between two versions, so that they come at any moment between two looks of a worker
BROKEN_EVERY = 10
CONNECTIONS = 200  # attempts to reach every worker


@dataclass
class Watch:
    """Asks one worker, until it is told to stop, by which version it decides; when each was seen first."""

    decide: Callable[..., object]
    customers: Sequence[str]
    name: str
    seen: dict[int, float] = field(default_factory=dict)
    moved: threading.Condition = field(default_factory=threading.Condition)
    running: bool = True

    def run(self) -> None:
        """The loop of its thread."""
        for request in requests(self.customers, self.name, 1):
            if not self.running:
                return
            version = self.decide(message_of(request), timeout=10).program_version  # type: ignore[attr-defined]
            with self.moved:
                self.seen.setdefault(version, time.perf_counter())
                self.moved.notify()
            time.sleep(PAUSE_S)

    def await_version(self, version: int) -> float:
        """When the worker was first seen to decide by it."""
        with self.moved:
            if not self.moved.wait_for(lambda: version in self.seen, timeout=30):
                raise SystemExit(f"{self.name} did not decide by version {version} within 30 s")
            return self.seen[version]


def connections(target: str, pids: Sequence[int], stack: ExitStack) -> Mapping[int, grpc.Channel]:
    """One open connection to each worker; the kernel chooses which worker gets one, so it takes some attempts."""
    found: dict[int, grpc.Channel] = {}
    for _ in range(CONNECTIONS):
        before = {pid: _established(pid) for pid in pids}
        channel = stack.enter_context(grpc.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),)))
        grpc.channel_ready_future(channel).result(10)
        reached = [pid for pid in pids if _established(pid) - before[pid]]
        if len(reached) == 1:
            found.setdefault(reached[0], channel)
        if len(found) == len(pids):
            return found
    raise SystemExit(f"{CONNECTIONS} connections reached only workers {sorted(found)} of {sorted(pids)}")


def _established(pid: int) -> set[int]:
    """The remote ports of a process's connections."""
    return {c.raddr.port for c in psutil.Process(pid).net_connections("tcp") if c.raddr and c.status == "ESTABLISHED"}


@contextmanager
def watches(target: str, pids: Sequence[int], customers: Sequence[str]) -> Iterator[list[Watch]]:
    """A running watch of each worker."""
    with ExitStack() as stack:
        found = [
            Watch(decision_service_pb2_grpc.DecisionServiceStub(channel).Decide, customers, f"worker-{pid}")
            for pid, channel in connections(target, pids, stack).items()
        ]
        threads = [threading.Thread(target=watch.run, name=watch.name) for watch in found]
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            for watch in found:
                watch.running = False
            for thread in threads:
                thread.join()


def publish(client: DecisionClient, watched: Sequence[Watch], document: str) -> tuple[int, float, float]:
    """The version, and seconds until every worker decides by it: from the call, and from its answer (0 if by then)."""
    called = time.perf_counter()
    _, version = client.apply_program(document, "load test")
    answered = time.perf_counter()
    effective = max(watch.await_version(version) for watch in watched)
    return version, effective - called, max(0.0, effective - answered)


def refuse(client: DecisionClient, watched: Sequence[Watch], document: str) -> None:
    """Publish what is broken; end the test if anything came of it."""
    before = client.get_program(PROGRAM)[0].version
    try:
        client.apply_program(document + "leas: 15m\nactions: []\n", "load test")
    except InvalidRequest:
        pass
    else:
        raise SystemExit("a broken program was published")
    if client.get_program(PROGRAM)[0].version != before or any(max(watch.seen) > before for watch in watched):
        raise SystemExit("a broken program changed what is in force")


def main(
    versions: Annotated[int, typer.Option(help="How many to publish.")] = 200,
    workers: Annotated[int, typer.Option(help="How many must decide by each.")] = 2,
) -> None:
    """Print how long publishing takes to be in effect everywhere; exit code 1 if p99 is a second or more."""
    console = Console()
    console.print(f"starting Redis, features, model, {workers} workers …")
    text = (HERE / "program.yaml").read_text()
    leases = itertools.cycle(("lease: 10m\n", "lease: 20m\n"))
    source = random.Random(1)
    refused, published = 0, []
    with (
        tempfile.TemporaryDirectory() as scratch,
        Prepared(Path(scratch), workers) as environment,
        DecisionClient(environment.stack.target, deadline_ms=10_000) as client,
        watches(environment.stack.target, environment.stack.pids("worker"), environment.customers) as watched,
    ):
        for number in track(range(versions), "publishing", console=console, transient=True):
            document = text + next(leases)
            if number % BROKEN_EVERY == 0:
                refuse(client, watched, document)
                refused += 1
            time.sleep(source.uniform(0, REST_S))
            published.append(publish(client, watched, document))
        named = {version for watch in watched for version in watch.seen}
    versions_in_order = [version for version, _, _ in published]
    if versions_in_order != list(range(min(named) + 1, max(named) + 1)):
        raise SystemExit(f"answers named versions {sorted(named)}, published were {versions_in_order}")
    p99 = _print(console, [times for _, *times in published])
    console.print(f"{refused} broken programs in between were refused whole")
    if p99 >= BOUND_S:
        raise typer.Exit(1)


def _print(console: Console, times: Sequence[Sequence[float]]) -> float:
    table = Table("", "p50 ms", "p99 ms", "max ms", title=f"{len(times)} versions, until every worker decides by them")
    from_call, from_answer = np.array(times).T * 1000
    for name, measured in (("from the call", from_call), ("from its answer", from_answer)):
        table.add_row(name, *(f"{value:.0f}" for value in (*np.percentile(measured, (50, 99)), measured.max())))
    console.print(table)
    return float(np.percentile(from_call, 99)) / 1000


if __name__ == "__main__":
    typer.run(main)
