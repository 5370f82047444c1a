"""Counting simulated decisions: today's side and the proposed one, in total and by everything that is reported on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from decision_service.core.guardrails.eligibility import SEGMENTS_FEATURE
from decision_service.core.model.record import DecisionRecord
from decision_service.core.model.values import NO_ACTION, Value
from decision_service.core.what_if.simulate import Simulated
from decision_service.simulation.report import ABSENT, FEASIBLE, Change, ExcludedFor, Row, Side

MOST_VALUES = 30
MOST_CHANGES = 50
OTHERS, NONE = "(others)", "(none)"

Why: TypeAlias = tuple[str, str]
"""A reason code and the guardrail's id."""

Fates: TypeAlias = dict[tuple[str, str], Why]
"""(program, action) → FEASIBLE, or why it was excluded."""


@dataclass(slots=True)
class _Side:
    decisions: int = 0
    contacts: int = 0
    customers: set[str] = field(default_factory=set)
    excluded: Counter[Why] = field(default_factory=Counter)

    def add(self, record: DecisionRecord, is_contact: bool, reasons: Iterable[Why]) -> None:
        self.decisions += 1
        self.excluded.update(reasons)
        if is_contact:
            self.contacts += 1
            self.customers.add(record.request.customer_id)

    def __iadd__(self, other: _Side) -> _Side:
        self.decisions += other.decisions
        self.contacts += other.contacts
        self.customers |= other.customers
        self.excluded += other.excluded
        return self

    def result(self) -> Side:
        return Side(self.decisions, self.contacts, len(self.customers), self.excluded.total())


@dataclass(slots=True)
class _Pair:
    today: _Side = field(default_factory=_Side)
    proposed: _Side = field(default_factory=_Side)

    def row(self, name: str) -> Row:
        reasons = self.today.excluded.keys() | self.proposed.excluded.keys()
        counted = [ExcludedFor(*why, self.today.excluded[why], self.proposed.excluded[why]) for why in reasons]
        counted.sort(key=lambda e: (-max(e.today, e.proposed), e.reason, e.guardrail))
        return Row(name, self.today.result(), self.proposed.result(), tuple(counted))


class _Pairs:
    """One pair per value."""

    def __init__(self) -> None:
        self._pairs: dict[str, _Pair] = {}

    def __getitem__(self, name: str) -> _Pair:
        pair = self._pairs.get(name)
        if pair is None:
            pair = self._pairs[name] = _Pair()
        return pair

    def rows(self, most: int | None = None) -> tuple[Row, ...]:
        """By name; with `most`, the most frequent values alone and the others together."""
        names = sorted(self._pairs)
        if most is not None and len(names) > most:
            names.sort(key=lambda name: (-self._pairs[name].today.decisions, name))
            others = _Pair()
            for name in names[most:]:
                others.today += self._pairs[name].today
                others.proposed += self._pairs[name].proposed
            return (*(self._pairs[name].row(name) for name in names[:most]), others.row(OTHERS))
        return tuple(self._pairs[name].row(name) for name in names)


class Tally:
    """Add decisions in any order. features: names of features or context values to count by."""

    def __init__(self, features: Sequence[str] = ()) -> None:
        self.decisions = self.other_choice = self.other_history = self.lost_races = 0
        self._total, self._programs, self._actions, self._channels = _Pair(), _Pairs(), _Pairs(), _Pairs()
        self._segments, self._features = _Pairs(), {name: _Pairs() for name in features}
        self._changes: Counter[tuple[str, str, Why, Why]] = Counter()

    def add(self, simulated: Simulated, channels: Mapping[tuple[str, str], str]) -> None:
        """Count a decision. channels: (program, action) → channel, for every action on either side."""
        logged, proposed = simulated.logged, simulated.proposed
        self.decisions += 1
        self.other_choice += simulated.other_choice
        self.other_history += simulated.other_history
        self.lost_races += logged.chosen != logged.drawn
        was, would_be = _fates(logged), _fates(proposed)
        self._count(True, logged, was, channels)
        self._count(False, proposed, would_be, channels)
        if was != would_be:
            for key in was.keys() | would_be.keys():
                before, after = was.get(key, (ABSENT, "")), would_be.get(key, (ABSENT, ""))
                if before != after:
                    self._changes[(*key, before, after)] += 1

    def _count(
        self, is_today: bool, record: DecisionRecord, fates: Fates, channels: Mapping[tuple[str, str], str]
    ) -> None:
        def side(pair: _Pair) -> _Side:
            return pair.today if is_today else pair.proposed

        chosen = (record.program, record.chosen) if record.is_contact else None
        excluded = [why for why in fates.values() if why[0] != FEASIBLE]
        side(self._total).add(record, record.is_contact, excluded)
        for value in _segments(record):
            side(self._segments[value]).add(record, record.is_contact, excluded)
        for name, pairs in self._features.items():
            side(pairs[_named(_known(record, name))]).add(record, record.is_contact, excluded)

        programs: dict[str, list[Why]] = {candidate.program: [] for candidate in record.candidates}
        by_channel: dict[str, list[Why]] = {}
        for (program, action), why in fates.items():
            of_action = (why,) if why[0] != FEASIBLE else ()
            programs[program] += of_action
            by_channel.setdefault(channels[program, action], []).extend(of_action)
            side(self._actions[f"{program}/{action}"]).add(record, (program, action) == chosen, of_action)
        for program, reasons in programs.items():
            side(self._programs[program]).add(record, chosen is not None and chosen[0] == program, reasons)
        for channel, reasons in by_channel.items():
            side(self._channels[channel]).add(record, record.channel == channel, reasons)

    @property
    def total(self) -> Row:
        """All decisions."""
        return self._total.row("total")

    @property
    def programs(self) -> tuple[Row, ...]:
        """By program that took part."""
        return self._programs.rows()

    @property
    def actions(self) -> tuple[Row, ...]:
        """By action, named `program/action`."""
        return self._actions.rows()

    @property
    def channels(self) -> tuple[Row, ...]:
        """By channel of any action that took part."""
        return self._channels.rows()

    @property
    def segments(self) -> tuple[Row, ...]:
        """By segment; a customer may be in several, or in none."""
        return self._segments.rows(MOST_VALUES)

    @property
    def features(self) -> Mapping[str, tuple[Row, ...]]:
        """By feature asked for, by value."""
        return {name: pairs.rows(MOST_VALUES) for name, pairs in self._features.items()}

    @property
    def changes(self) -> tuple[Change, ...]:
        """The most frequent first."""
        ordered = sorted(self._changes.items(), key=lambda item: (-item[1], item[0]))
        return tuple(
            Change(program, action, *before, *after, count)
            for (program, action, before, after), count in ordered[:MOST_CHANGES]
        )


def _fates(record: DecisionRecord) -> Fates:
    feasible = (FEASIBLE, "")
    fates: Fates = {}
    for candidate in record.candidates:
        for option in candidate.options:
            if option.action != NO_ACTION:
                fates[candidate.program, option.action] = feasible
        for exclusion in candidate.exclusions:
            fates[candidate.program, exclusion.action] = (exclusion.reason.value, exclusion.detail)
    return fates


def _known(record: DecisionRecord, name: str) -> Value | None:
    """A context value, or a feature of any program that took part."""
    sent = record.request.context.get(name)
    if sent is not None:
        return sent
    found = (c.features.values.get(name) for c in record.candidates)
    return next((value for value in found if value is not None), None)


def _segments(record: DecisionRecord) -> Iterator[str]:
    value = _known(record, SEGMENTS_FEATURE)
    yield from (value if isinstance(value, tuple) and value else (NONE,))


def _named(value: Value | None) -> str:
    if value is None:
        return NONE
    return ", ".join(value) if isinstance(value, tuple) else str(value)
