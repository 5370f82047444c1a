"""Features from Feast's online store: read by one HMGET where that is Redis, by Feast's SDK where it is not.

Importing Feast takes seconds; this module imports it only when a source is opened.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import redis

from decision_service.adapters.feast.plan import (
    RedisPlan,
    ServicePlan,
    ViewRow,
    compile_redis,
    compile_service,
    decode,
    decode_rows,
    served,
    unavailable,
)
from decision_service.adapters.feast.store import open_store, registry_file
from decision_service.adapters.redis.wire import Reply, Wire
from decision_service.application.ports import FeatureSource, Pending
from decision_service.core.model.errors import InvalidRequest, NotFound, Unavailable
from decision_service.core.model.record import ServedFeatures
from decision_service.core.model.values import ValueType

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

log = logging.getLogger(__name__)


LEAST_WAIT = 0.25
"""Of the deadline, that a read is waited for however long its request had been waiting: a queue at the door must not
blind every decision behind it."""


def _until(arrived_s: float | None, deadline_s: float) -> float:
    """Until when an answer is waited for, by `time.monotonic`."""
    now_s = time.monotonic()
    return now_s + deadline_s if arrived_s is None else max(arrived_s + deadline_s, now_s + LEAST_WAIT * deadline_s)


class RefreshableSource(FeatureSource, Protocol):
    """A source whose FeatureServices follow a registry."""

    def refresh(self) -> None:
        """Look at the registry again; cheap when it did not change. The services known before stay on failure.

        Raises:
            Unavailable: the registry cannot be read.
        """
        ...

    def close(self) -> None:
        """Give connections and threads back."""
        ...


def open_feature_source(
    repo: Path, redis_url: str, deadline_ms: int, data_dir: Path | None = None
) -> RefreshableSource:
    """The features of a Feast repository; `data_dir` is where `nba features build` keeps the registry.

    Works before the first build: there are then no FeatureServices until a `refresh` finds them.

    Raises:
        InvalidRequest: there is no usable feature_store.yaml.
    """
    os.environ.setdefault("FEAST_USAGE", "False")  # no telemetry
    sdk = FeastSdkSource(
        lambda: open_store(repo, redis_url, data_dir), registry_file(repo, redis_url, data_dir), deadline_ms
    )
    source = FeastRedisSource(sdk, Wire(redis_url, deadline_ms, "feature store"), deadline_ms)
    try:
        source.refresh()
    except Unavailable as error:
        log.warning("%s; no FeatureServices until it can be read", error)
    return source


class Registry:
    """The FeatureServices of Feast's registry, as plans. `refresh` is called between reads, never during one."""

    def __init__(self, open_: Callable[[], FeatureStore], file: Path | None) -> None:
        self._open, self._file = open_, file
        self._seen: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self.store: FeatureStore | None = None
        self.plans: Mapping[str, ServicePlan] = {}
        self.services: Mapping[str, FeatureService] = {}
        self.refused: Mapping[str, str] = {}

    def refresh(self) -> bool:
        """Compile the plans again if the registry's file changed, or always where it is no file; whether it did.

        Raises:
            Unavailable: the registry cannot be read.
        """
        with self._lock:
            seen = self._stamp()
            if self._file is not None and (seen is None or seen == self._seen):
                return False
            try:
                if self.store is None:
                    self.store = self._open()
                self.store.refresh_registry()
                services = {service.name: service for service in self.store.list_feature_services()}
                plans, refused = {}, {}
                for service in services.values():
                    try:
                        plans[service.name] = compile_service(self.store, service)
                    except InvalidRequest as error:
                        refused[service.name] = str(error)
            except InvalidRequest:
                raise
            except Exception as error:
                raise Unavailable("feature registry", str(error)) from error
            if seen != self._stamp():
                return False  # written while it was read: look again next time
            for name in refused.keys() - self.refused.keys():
                log.warning("FeatureService %s is not served: %s", name, refused[name])
            self.plans, self.services, self.refused, self._seen = plans, services, refused, seen
            return True

    def _stamp(self) -> tuple[int, int] | None:
        """What tells one content of the file from another; None while there is none. Feast truncates, then writes."""
        if self._file is None:
            return None
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return None
        return (stat.st_mtime_ns, stat.st_size) if stat.st_size else None

    def plan(self, service: str) -> ServicePlan:
        """A service's plan.

        Raises:
            NotFound: no such FeatureService, or none that can be served.
        """
        try:
            return self.plans[service]
        except KeyError:
            hint = self.refused.get(service, "define it in feature_repo and run `nba features build`")
            raise NotFound("FeatureService", service, hint) from None


class FeastSdkSource:
    """Any online store, by `get_online_features`; each read holds one of `threads` threads."""

    def __init__(
        self, open_: Callable[[], FeatureStore], registry_file: Path | None, deadline_ms: int, threads: int = 8
    ) -> None:
        self.registry = Registry(open_, registry_file)
        self._deadline_s = deadline_ms / 1000
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="feast")

    def begin(
        self, service: str, customer_id: str, now_ms: int, arrived_s: float | None = None
    ) -> Pending[ServedFeatures]:
        """Ask for the features in a thread."""
        plan = self.registry.plan(service)
        until_s = _until(arrived_s, self._deadline_s)
        return _SdkRead(self._threads.submit(self._read, plan, customer_id, now_ms), plan, until_s)

    def _read(self, plan: ServicePlan, customer_id: str, now_ms: int) -> ServedFeatures:
        store = self.registry.store
        assert store is not None  # there was a plan
        answer = store.get_online_features(
            features=self.registry.services[plan.service], entity_rows=[{plan.join_key: customer_id}]
        ).proto
        found = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
        rows = []
        for view in plan.views:
            vectors = [found[name] for name in view.features]
            values = [decode(vector.values[0].SerializeToString()) for vector in vectors]
            when = 0 if view.on_demand else _epoch_ms(vectors[0].event_timestamps[0])
            rows.append(ViewRow(when or None, values))  # Feast gives 1970 where there is no row
        return served(plan, rows, now_ms)

    def schema(self, service: str) -> Mapping[str, ValueType]:
        """Feature name → type."""
        return self.registry.plan(service).schema

    def refresh(self) -> None:
        """Look at the registry again."""
        self.registry.refresh()

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _epoch_ms(stamp: object) -> int:
    return stamp.seconds * 1000 + stamp.nanos // 1_000_000  # type: ignore[attr-defined, no-any-return]


class _SdkRead:
    def __init__(self, future: Future[ServedFeatures], plan: ServicePlan, until_s: float) -> None:
        self._future, self._plan, self._until_s = future, plan, until_s

    def result(self) -> ServedFeatures:
        """The features; UNAVAILABLE if they did not come in time, or the store failed."""
        try:
            return self._future.result(max(0.0, self._until_s - time.monotonic()))
        except FutureTimeout:
            self._future.cancel()
            return unavailable(self._plan)
        except Exception as error:  # noqa: BLE001 - any store may be behind the SDK, with errors of its own
            log.warning("features: %s", error)
            return unavailable(self._plan)


class FeastRedisSource:
    """Feast's Redis, by one HMGET for all views of a service. What that cannot read goes through `sdk`."""

    def __init__(self, sdk: FeastSdkSource, wire: Wire, deadline_ms: int) -> None:
        self._sdk, self._wire, self._deadline_s = sdk, wire, deadline_ms / 1000
        self._plans: Mapping[str, RedisPlan] = {}

    def begin(
        self, service: str, customer_id: str, now_ms: int, arrived_s: float | None = None
    ) -> Pending[ServedFeatures]:
        """Send the HMGET; connecting, where no connection is idle, waits for at most the deadline."""
        compiled = self._plans.get(service)
        if compiled is None:
            return self._sdk.begin(service, customer_id, now_ms, arrived_s)
        until_s = _until(arrived_s, self._deadline_s)
        try:
            reply = self._wire.begin("HMGET", compiled.key(customer_id), *compiled.fields)
        except (Unavailable, redis.exceptions.RedisError):
            return _RedisRead(None, compiled.plan, now_ms, until_s)
        return _RedisRead(reply, compiled.plan, now_ms, until_s)

    def schema(self, service: str) -> Mapping[str, ValueType]:
        """Feature name → type."""
        return self._sdk.schema(service)

    def direct(self, service: str) -> bool:
        """Whether the service is read without Feast's SDK."""
        return service in self._plans

    def refresh(self) -> None:
        """Look at the registry again."""
        if not self._sdk.registry.refresh():
            return
        store = self._sdk.registry.store
        assert store is not None  # it was refreshed
        plans = {name: compile_redis(store, plan) for name, plan in self._sdk.registry.plans.items()}
        for name in [name for name, compiled in plans.items() if compiled is None]:
            log.warning("FeatureService %s is read through Feast's SDK, which takes longer", name)
        self._plans = {name: compiled for name, compiled in plans.items() if compiled is not None}

    def close(self) -> None:
        """Give connections and threads back."""
        self._wire.close()
        self._sdk.close()


class _RedisRead:
    def __init__(self, reply: Reply | None, plan: ServicePlan, now_ms: int, until_s: float) -> None:
        self._reply, self._plan, self._now_ms, self._until_s = reply, plan, now_ms, until_s

    def result(self) -> ServedFeatures:
        """The features; UNAVAILABLE if they did not come in time, or were not written by Feast."""
        if self._reply is None:
            return unavailable(self._plan)
        try:
            return served(self._plan, decode_rows(self._plan, self._reply.result(self._until_s)), self._now_ms)
        except (Unavailable, redis.exceptions.RedisError):
            return unavailable(self._plan)
        except ValueError as error:
            log.warning("features: %s", error)
            return unavailable(self._plan)
