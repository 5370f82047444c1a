"""One Redis command at a time on pooled connections, split into sending and reading, so that reads of two servers
overlap without threads. `redis-py`'s own client offers no such split, and costs half of a Decide in Python."""

from __future__ import annotations

import hashlib
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import redis
from redis.connection import ConnectionPool

from decision_service.core.model.errors import Unavailable

# The server answers, but cannot do it now: full, read-only, loading, failing over, unable to persist. Inside a
# script the code stands in the middle of the message.
_REFUSAL = re.compile(r"(?:^|-)(?:OOM|READONLY|LOADING|MISCONF|MASTERDOWN|NOREPLICAS|BUSY|CLUSTERDOWN|TRYAGAIN)\b")
_REFUSED = (redis.exceptions.OutOfMemoryError, redis.exceptions.ReadOnlyError, redis.exceptions.BusyLoadingError)


class Script:
    """A Lua script, called by its SHA-1 and sent whole only where the server does not know it yet."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def command(self, keys: list[str], arguments: list[Any]) -> tuple[Any, ...]:
        """EVALSHA with these keys and arguments."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


class Reply:
    """A command that has been sent. Read it once; a reply never read costs its connection, nothing else."""

    def __init__(
        self,
        wire: Wire,
        connection: Any,
        command: tuple[Any, ...],
        script: Script | None,
        unsent: Unavailable | None = None,
    ) -> None:
        self._wire, self._connection, self._command, self._script = wire, connection, command, script
        self._unsent = unsent

    def result(self, until_s: float | None = None) -> Any:
        """The raw answer, strings as bytes. until_s: wait no longer than to this time of `time.monotonic`; an answer
        that is there by then is taken, however late it is asked for. None: the deadline, from now.

        Raises:
            Unavailable: it could not be sent, or there was no answer within the deadline.
        """
        if self._unsent is not None:
            raise self._unsent
        return self._wire.read(self._connection, self._command, self._script, until_s)


class Wire:
    """Thread-safe. `part` names the server in errors; a command waits at most `deadline_ms` for its answer."""

    def __init__(self, url: str, deadline_ms: int, part: str) -> None:
        self._part = part
        timeout_s = deadline_ms / 1000
        self._pool = ConnectionPool.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, protocol=2
        )
        self._idle: deque[Any] = deque()  # appends and pops are atomic

    def begin(self, *command: Any, script: Script | None = None) -> Reply:
        """Send a command. Never raises: that it could not be sent is the reply's to tell."""
        try:
            return Reply(self, self._send(command), command, script)
        except Unavailable as unsent:
            return Reply(self, None, command, script, unsent)

    def call(self, *command: Any, script: Script | None = None) -> Any:
        """Send a command and wait for its answer."""
        return self.begin(*command, script=script).result()

    def run(self, script: Script, keys: list[str], arguments: list[Any]) -> Any:
        """Run a script and wait for its answer."""
        return self.call(*script.command(keys, arguments), script=script)

    def read(
        self, connection: Any, command: tuple[Any, ...], script: Script | None, until_s: float | None = None
    ) -> Any:
        """Wait for the answer of a command sent on `connection`; `until_s` as for `Reply.result`."""
        return self._answered(connection, command, script, until_s, self._read_again)

    def _read_again(self, command: tuple[Any, ...], script: Script | None, until_s: float | None) -> Any:
        # The connection had died idle, as after a restart of the server. Every command sent here may run twice:
        # reads change nothing, and scripts answer a repetition with what the first run did.
        return self._answered(self._fresh(command), command, script, until_s, None)

    def _answered(
        self,
        connection: Any,
        command: tuple[Any, ...],
        script: Script | None,
        until_s: float | None,
        again: Callable[[tuple[Any, ...], Script | None, float | None], Any] | None,
    ) -> Any:
        # A timeout of 0 takes what is there.
        timeout = {} if until_s is None else {"timeout": max(0.0, until_s - time.monotonic())}
        try:
            answer = connection.read_response(disconnect_on_error=False, **timeout)
        except redis.exceptions.NoScriptError:
            assert script is not None
            self._idle.append(connection)
            return self.call("EVAL", script.source, *command[2:])
        except redis.exceptions.ResponseError as error:
            self._idle.append(connection)
            if isinstance(error, _REFUSED) or _REFUSAL.search(str(error)):
                raise Unavailable(self._part, str(error)) from error
            raise
        except redis.exceptions.TimeoutError as error:
            connection.disconnect()
            raise Unavailable(self._part, f"no answer in time: {error}") from error
        except (redis.exceptions.ConnectionError, OSError) as error:
            connection.disconnect()
            if again is not None:
                return again(command, script, until_s)
            raise Unavailable(self._part, str(error)) from error
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)
        return answer

    def _send(self, command: tuple[Any, ...]) -> Any:
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._fresh(command)
        try:
            connection.send_command(*command)
        except (redis.exceptions.RedisError, OSError):
            connection.disconnect()
            return self._fresh(command)
        return connection

    def _fresh(self, command: tuple[Any, ...]) -> Any:
        connection = self._pool.connection_class(**self._pool.connection_kwargs)
        try:
            connection.connect()
            connection.send_command(*command)
        except (redis.exceptions.RedisError, OSError) as error:
            connection.disconnect()
            raise Unavailable(self._part, str(error)) from error
        return connection

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop().disconnect()
