"""Features in memory: the same rules of TTL, missing and stale as the online store, for tests and experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from decision_service.adapters.feast.plan import ServicePlan, ViewPlan, ViewRow, served, unavailable
from decision_service.core.model.errors import InvalidRequest, NotFound, Violation
from decision_service.core.model.record import ServedFeatures
from decision_service.core.model.values import Value, Values, ValueType, conforms


@dataclass(frozen=True, slots=True)
class MemoryView:
    """A feature view: feature name → type, and the TTL in seconds (None: never stale)."""

    name: str
    features: Mapping[str, ValueType]
    ttl_s: int | None = None


class MemoryFeatures:
    """Forgets everything with the process. `down = True` makes it answer UNAVAILABLE, as an absent store would."""

    def __init__(self) -> None:
        self.down = False
        self._plans: dict[str, ServicePlan] = {}
        self._types: dict[str, Mapping[str, ValueType]] = {}
        self._rows: dict[tuple[str, str], tuple[int, Values]] = {}

    def define(self, service: str, *views: MemoryView) -> None:
        """Register a FeatureService, replacing one of that name."""
        names = {view.name: tuple(sorted(view.features)) for view in views}
        plans = tuple(
            ViewPlan(view.name, view.name, names[view.name], None if view.ttl_s is None else view.ttl_s * 1000)
            for view in views
        )
        schema = {name: view.features[name] for view in views for name in names[view.name]}
        self._types.update((view.name, view.features) for view in views)
        self._plans[service] = ServicePlan(service, "customer_id", plans, schema)

    def put(self, view: str, customer_id: str, values: Values, event_time_ms: int) -> None:
        """Write a customer's row, unless one that is as new is there.

        Raises:
            NotFound: no such view.
            InvalidRequest: unknown features, or values that are not of the declared types.
        """
        if view not in self._types:
            raise NotFound("feature view", view)
        wrong = [Violation(f"{view}.{name}", "no such feature") for name in values if name not in self._types[view]]
        wrong += [
            Violation(f"{view}.{name}", f"{values[name]!r} is not a {kind}")
            for name, kind in self._types[view].items()
            if (value := values.get(name)) is not None and not conforms(value, kind)
        ]
        if wrong:
            raise InvalidRequest(wrong)
        before = self._rows.get((view, customer_id))
        if before is None or before[0] < event_time_ms:
            self._rows[view, customer_id] = (event_time_ms, dict(values))

    def begin(self, service: str, customer_id: str, now_ms: int, arrived_s: float | None = None) -> _Ready:
        """The features as of now; nothing is waited for."""
        del arrived_s
        plan = self._plan(service)
        if self.down:
            return _Ready(unavailable(plan))
        return _Ready(served(plan, [self._row(view, customer_id) for view in plan.views], now_ms))

    def _row(self, view: ViewPlan, customer_id: str) -> ViewRow:
        row = self._rows.get((view.name, customer_id))
        if row is None:
            return ViewRow(None, (None,) * len(view.features))
        values: list[Value | None] = [row[1].get(name) for name in view.features]
        return ViewRow(row[0], values)

    def schema(self, service: str) -> Mapping[str, ValueType]:
        """Feature name → type."""
        return self._plan(service).schema

    def _plan(self, service: str) -> ServicePlan:
        try:
            return self._plans[service]
        except KeyError:
            raise NotFound("FeatureService", service, "define it first") from None

    def refresh(self) -> None:
        """Nothing to look at: definitions take effect at once."""

    def close(self) -> None:
        """Nothing is held."""


class _Ready:
    def __init__(self, features: ServedFeatures) -> None:
        self._features = features

    def result(self) -> ServedFeatures:
        """The features."""
        return self._features
