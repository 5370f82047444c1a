"""Pauses: so many outcomes of a kind within so long, and the customer hears no more of what they were outcomes of.

Nothing is stored but counters. An outcome is counted, when it is recorded, under the names of what a rule may pause;
Decide asks whether the latest times under a name bring a rule into force.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from decision_service.core.model.customer import EventCounter
from decision_service.core.model.program import Action, PauseOf, PauseRule
from decision_service.core.model.record import Outcome

_SEPARATOR = "\x1f"
"""The API refuses control characters, so no outcome or event from outside is counted under such a name."""


def counters(
    rules: Sequence[PauseRule], outcome: Outcome, program: str | None, action: Action | None
) -> tuple[str, ...]:
    """The names under which the outcome is to be counted, besides its own.

    program, action: those of the decision it belongs to; None if it is not known. It then counts for all contact and
    for the channel that it names itself.
    """
    channel = outcome.channel or (action.channel if action is not None else "")
    names = (name for rule in rules if rule.outcome == outcome.name for name in _names(rule, program, action, channel))
    return tuple(dict.fromkeys(names))


def paused(
    rules: Sequence[PauseRule],
    program_name: str,
    action: Action,
    events: Mapping[str, EventCounter],
    now_ms: int,
) -> tuple[PauseRule, int] | None:
    """The rule that pauses the action now, and until when; of several the one that lasts longest."""
    longest: tuple[PauseRule, int] | None = None
    for rule in rules:
        for name in _names(rule, program_name, action, action.channel):
            counter = events.get(name)
            until_ms = _until_ms(rule, counter.recent_ms) if counter is not None else None
            if until_ms is not None and now_ms < until_ms and (longest is None or until_ms > longest[1]):
                longest = rule, until_ms
    return longest


def counting(rules: Sequence[PauseRule], events: Mapping[str, EventCounter]) -> tuple[PauseRule, ...]:
    """The rules of which an outcome has been counted at all: for most customers none, so nothing more is asked."""
    kinds = {tuple(name.split(_SEPARATOR)[1:3]) for name in events if name.startswith(_SEPARATOR)}
    return tuple(rule for rule in rules if (rule.pauses.value, rule.outcome) in kinds) if kinds else ()


def begun(
    rules: Sequence[PauseRule],
    before: Mapping[str, EventCounter],
    after: Mapping[str, EventCounter],
    names: Sequence[str],
    now_ms: int,
) -> Iterator[tuple[PauseRule, str, int]]:
    """The pauses that counting under `names` brought into force, or prolonged: the rule, what it pauses (`channel C`,
    `tag T`, `action PROGRAM/ID`, or `all`), and until when."""
    for name in names:
        _, kind, outcome, subject = name.split(_SEPARATOR)
        for rule in rules:
            if (rule.pauses.value, rule.outcome) == (kind, outcome):
                until_ms = _until_ms(rule, after[name].recent_ms)
                known_ms = _until_ms(rule, before[name].recent_ms) if name in before else None
                if until_ms is not None and until_ms > now_ms and until_ms != known_ms:
                    yield rule, f"{kind} {subject}".strip(), until_ms


def _names(rule: PauseRule, program: str | None, action: Action | None, channel: str) -> Iterator[str]:
    subjects: Sequence[str] = ()
    if rule.pauses is PauseOf.ALL:
        subjects = ("",)
    elif rule.pauses is PauseOf.CHANNEL and channel:
        subjects = (channel,)
    elif rule.pauses is PauseOf.TAG and action is not None:
        subjects = sorted(action.tags)
    elif rule.pauses is PauseOf.ACTION and action is not None:
        subjects = (f"{program}/{action.id}",)
    for subject in subjects:
        yield _SEPARATOR.join(("", rule.pauses.value, rule.outcome, subject))


def _until_ms(rule: PauseRule, recent_ms: Sequence[int]) -> int | None:
    """When the pause by the latest `count` outcomes within `within_s` ends. `recent_ms`: newest first."""
    within_ms = rule.within_s * 1000
    for newest, oldest in zip(recent_ms, recent_ms[rule.count - 1 :], strict=False):
        if newest - oldest < within_ms:
            return newest + rule.for_s * 1000
    return None
