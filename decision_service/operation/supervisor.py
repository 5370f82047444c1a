"""Everything on one machine, as child processes: Redis, workers, loader, trainer, simulator. Restarts what dies."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TextIO

from decision_service.adapters.redis.embedded import EmbeddedRedis
from decision_service.core.model.errors import Unavailable
from decision_service.core.model.installation import LedgerState
from decision_service.operation.settings import Settings

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 10.0
STABLE_AFTER_S = 30.0
ORPHANS_END_S = 8.0


@dataclass(slots=True)
class _Child:
    name: str
    command: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    restart_at_s: float = 0.0
    backoff_s: float = FIRST_BACKOFF_S
    restarts: int = field(default=0)


class Stack:
    """A context manager: everything is up inside it, and nothing is left behind after it.

    A child that exits is started again, after a pause that doubles while it keeps failing. Children end by
    themselves when the supervisor is gone, however it went.
    """

    def __init__(
        self, settings: Settings, *, loader: bool = True, trainer: bool = False, simulator: bool = False
    ) -> None:
        self.settings = settings
        self._logs = settings.home / "logs"
        self._redis: EmbeddedRedis | None = None
        self._claim: TextIO | None = None
        if not settings.ledger_url or not settings.features_url:
            self._redis = EmbeddedRedis(settings.home / "redis", settings.embedded_redis_port)
        self._has_loader = loader
        self._children = [_Child(f"worker-{i}", ("worker",)) for i in range(settings.workers)]
        self._children += [_Child("loader", ("loader",))] if loader else []
        self._children += [_Child("trainer", ("trainer",))] if trainer else []
        self._children += [_Child("simulator", ("simulator",))] if simulator else []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    @property
    def target(self) -> str:
        """The gRPC address of the workers."""
        return f"{self.settings.host}:{self.settings.port}"

    def pids(self, prefix: str = "") -> list[int]:
        """Process ids of living children whose name starts with `prefix`."""
        with self._lock:
            return [
                c.process.pid
                for c in self._children
                if c.name.startswith(prefix) and c.process is not None and c.process.poll() is None
            ]

    def start_redis(self) -> None:
        """Start the embedded Redis server alone, where the settings use it.

        Raises:
            Unavailable: another supervisor runs on the same home, or Redis did not start.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        self._claim_home()
        if self._redis is not None and not self._redis.running:
            self._redis.start()

    def _claim_port(self) -> None:
        """Fail if somebody listens on the gRPC port: workers share theirs, so the system would deal out calls between
        two ledgers, and caps would hold in neither. Orphans of a killed supervisor have a moment to end."""
        deadline = time.monotonic() + ORPHANS_END_S
        while True:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.settings.host, self.settings.port))
                    return
                except OSError as error:
                    if time.monotonic() > deadline:
                        raise Unavailable(
                            "grpc port",
                            f"{self.target} cannot be listened on ({error.strerror}); set NBA_PORT, NBA_HOST",
                        ) from error
            time.sleep(0.1)

    def _claim_home(self) -> None:
        if self._claim is not None:
            return
        claim = (self.settings.home / "supervisor.lock").open("w")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system gives it back however this process ends
        except OSError as error:
            claim.close()
            raise Unavailable("home", f"{self.settings.home} is in use by another supervisor; give another") from error
        self._claim = claim

    def start(self, timeout_s: float = 120.0) -> None:
        """Start everything and wait until the workers serve, and know whether the ledger is in service.

        Raises:
            Unavailable: something did not come up; its log is named.
        """
        try:
            self.start_redis()
            self._claim_port()
            if not self._has_loader:
                self._serve_without_loader()
            with self._lock:
                for child in self._children:
                    self._spawn(child)
            self._watcher.start()
            self._wait_until_serving(timeout_s)
        except BaseException:
            self.stop()
            raise

    def _serve_without_loader(self) -> None:
        from decision_service.operation.recognition import serve_without_warehouse

        serve_without_warehouse(self.settings)

    def _wait_until_serving(self, timeout_s: float) -> None:
        from decision_service.operation.bootstrap import open_signals

        signals = open_signals(self.settings)
        deadline = time.monotonic() + timeout_s
        try:
            while time.monotonic() < deadline:
                workers = set(self.pids("worker"))
                reported = signals.processes(time.time_ns() // 1_000_000)
                serving = {s["pid"] for s in reported.values() if s.get("serving") and s["ledger"] != LedgerState.NEW}
                if len(workers) == self.settings.workers and workers <= serving:
                    return
                time.sleep(0.05)
        finally:
            signals.close()
        raise Unavailable("workers", f"not serving after {timeout_s:g} s; see {self._logs}")

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a child by name; its process id."""
        with self._lock:
            process = next(c.process for c in self._children if c.name == name)
        assert process is not None
        process.send_signal(number)
        return process.pid

    def restarts(self) -> int:
        """How often children were started again."""
        return sum(c.restarts for c in self._children)

    def stop(self) -> None:
        """Workers first, then the loader (which drains the log), Redis last."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for prefix in ("worker", "trainer", "simulator", "loader"):
            self._end([c for c in self._children if c.name.startswith(prefix)])
        if self._redis is not None:
            self._redis.stop()
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _spawn(self, child: _Child) -> None:
        with (self._logs / f"{child.name}.log").open("ab") as output:
            child.process = subprocess.Popen(
                [sys.executable, "-m", "decision_service.cli", *child.command, "--supervised"],
                env={**os.environ, **environment(self.settings)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        child.started_s = time.monotonic()

    def _watch(self) -> None:
        while not self._stopping.wait(0.1):
            now = time.monotonic()
            with self._lock:
                for child in self._children:
                    self._mend(child, now)
            if self._redis is not None and not self._redis.running and not self._stopping.is_set():
                log.error("the embedded Redis server died; starting it again")
                try:
                    self._redis.start()
                except Unavailable as error:
                    log.error("%s", error)

    def _mend(self, child: _Child, now: float) -> None:
        if child.process is not None and child.process.poll() is None:
            if now - child.started_s > STABLE_AFTER_S:
                child.backoff_s = FIRST_BACKOFF_S
            return
        if child.process is not None:
            log.error("%s exited with %s; starting it again", child.name, child.process.returncode)
            child.process = None
            child.restart_at_s = now + child.backoff_s
            child.backoff_s = min(child.backoff_s * 2, LONGEST_BACKOFF_S)
        if now >= child.restart_at_s:
            child.restarts += 1
            self._spawn(child)

    def _end(self, children: list[_Child]) -> None:
        living = [c.process for c in children if c.process is not None and c.process.poll() is None]
        for process in living:
            process.terminate()
        deadline = time.monotonic() + self.settings.drain_s + 25
        for process in living:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(settings: Settings) -> dict[str, str]:
    """The settings as `NBA_*` variables, for child processes."""
    variables = {}
    for name, value in settings.model_dump().items():
        if value is None:
            continue
        variables[f"NBA_{name.upper()}"] = json.dumps(value) if isinstance(value, bool) else str(value)
    return variables
