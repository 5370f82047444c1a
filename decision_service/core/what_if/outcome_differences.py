"""What a proposed contact policy would have made of outcomes, where that is other than what was logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from decision_service.core.guardrails.effects import effects_of
from decision_service.core.model.customer import MAX_RECENT_EVENTS, CustomerState, EventCounter, Suppression
from decision_service.core.model.program import Action, ContactPolicy
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import DecisionRecord, Outcome


@dataclass(frozen=True, slots=True)
class _Occurred:
    outcome: Outcome
    program: str | None
    action: Action | None


@dataclass(frozen=True, slots=True)
class _Difference:
    """Outcomes by name whose suppressions the two policies disagree about; and a policy with the pause rules that are
    new: what they count was not counted."""

    disputed: frozenset[str]
    pauses: ContactPolicy

    @classmethod
    def of(cls, proposed: ContactPolicy, published: ContactPolicy) -> _Difference | None:
        """None if there is none."""
        disputed = frozenset(rule.outcome for rule in {*proposed.suppress_on} ^ {*published.suppress_on})
        counted = {(rule.pauses, rule.outcome) for rule in published.pauses}
        pauses = tuple(rule for rule in proposed.pauses if (rule.pauses, rule.outcome) not in counted)
        return cls(disputed, ContactPolicy(pauses=pauses)) if disputed or pauses else None


class OtherEffects:
    """Rules that both policies have in common leave what was logged alone: also what was lifted by hand since."""

    def __init__(self, policy: ContactPolicy, from_ms: int) -> None:
        """Suppressions since `from_ms` follow the proposed policy; those of before stay. Pauses count what is known
        of outcomes before it, too."""
        self._policy, self._from_ms = policy, from_ms
        self._occurred: dict[str, list[_Occurred]] = {}
        self._differences: dict[int, _Difference | None] = {}

    def add(self, outcome: Outcome, program: str | None, action: Action | None) -> None:
        """Note an outcome; in the order in which they were received."""
        self._occurred.setdefault(outcome.customer_id, []).append(_Occurred(outcome, program, action))

    def state(self, state: CustomerState, logged: DecisionRecord, published: ContactPolicy) -> CustomerState:
        """The state with the suppressions and counters that would have been; the same object where nothing is other.

        published: the contact policy that the decision was made under.
        """
        if published.version not in self._differences:
            self._differences[published.version] = _Difference.of(self._policy, published)
        difference = self._differences[published.version]
        if difference is None:
            return state
        suppressions = (
            self._suppressions(state, logged, difference.disputed) if difference.disputed else state.suppressions
        )
        events = self._events(state, logged, difference.pauses) if difference.pauses.pauses else state.events
        if suppressions == state.suppressions and events is state.events:
            return state
        return replace(state, suppressions=suppressions, events=events)

    def _known(self, logged: DecisionRecord) -> Iterator[_Occurred]:
        for one in self._occurred.get(logged.request.customer_id, ()):
            if one.outcome.received_at_ms <= logged.decided_at_ms:
                yield one

    def _suppressions(
        self, state: CustomerState, logged: DecisionRecord, disputed: frozenset[str]
    ) -> tuple[Suppression, ...]:
        longest = {
            (s.channel, s.reason): s
            for s in state.suppressions
            if s.reason is not Reason.SUPPRESSED_BY_OUTCOME or s.since_ms < self._from_ms or s.note not in disputed
        }
        for one in self._known(logged):
            if one.outcome.received_at_ms < self._from_ms or one.outcome.name not in disputed:
                continue
            effects = effects_of(self._policy, one.outcome, one.program, one.action, one.outcome.received_at_ms)
            for suppression in effects.suppressions:
                key = (suppression.channel, suppression.reason)
                if key not in longest or _end(longest[key]) < _end(suppression):
                    longest[key] = suppression
        return tuple(sorted(longest.values(), key=lambda s: (s.channel, s.reason)))

    def _events(
        self, state: CustomerState, logged: DecisionRecord, pauses: ContactPolicy
    ) -> Mapping[str, EventCounter]:
        times: dict[str, list[int]] = {}
        for one in self._known(logged):
            for name in effects_of(pauses, one.outcome, one.program, one.action, logged.decided_at_ms).counters:
                times.setdefault(name, []).append(one.outcome.occurred_at_ms)
        # An earlier policy may have counted them already, and for longer than the outcomes are known here.
        known = {name: state.events[name].total for name in times if name in state.events}
        fresh = {
            name: EventCounter(len(of_name), tuple(sorted(of_name, reverse=True)[:MAX_RECENT_EVENTS]))
            for name, of_name in times.items()
            if len(of_name) > known.get(name, 0)
        }
        return {**state.events, **fresh} if fresh else state.events


def _end(suppression: Suppression) -> float:
    return float("inf") if suppression.until_ms is None else suppression.until_ms
