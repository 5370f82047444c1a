"""Checks across the parts of a document. They read it as written, so that they find what they can in one whose other
parts are wrong, and all mistakes are told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from decision_service.core.guardrails.groups import BUCKETS
from decision_service.core.guardrails.live import live_names
from decision_service.core.model.program import GroupShares, Program
from decision_service.core.model.reward import RewardDefinition
from decision_service.core.model.values import NO_ACTION
from decision_service.documents.fields import Share, nearest
from decision_service.documents.rules.rule_language import members
from decision_service.documents.source import Data, Location, path

Mistake: TypeAlias = tuple[Location, str]

_SHARE: TypeAdapter[int] = TypeAdapter(Share)
_GROUPS = ("treatment", "random_control", "business_as_usual", "holdout")
RULES = (("audience",), ("actions", "*", "eligible"), ("baseline", "*", "when"))


def program_mistakes(data: Data) -> Iterator[Mistake]:
    """What is wrong between the parts of a program."""
    yield from _duplicates(data, "actions", "*", "id")
    for part in ("caps", "budgets", "quiet_hours"):
        yield from _duplicates(data, part, "*", "id")
    yield from _duplicates(data, "live_events", "*")
    yield from _unknown_actions(data)
    yield from _missing_baseline(data)
    yield from _unknown_in_scopes(data)
    yield from _shares(data)
    yield from _floor(data)
    yield from _least_shares(data)
    yield from _shares_below_floor(data)
    yield from _free_of_charge(data)
    yield from _unknown_variables(data)


def contact_policy_mistakes(data: Data) -> Iterator[Mistake]:
    """What is wrong between the parts of a contact policy."""
    for part in ("caps", "budgets", "quiet_hours", "pause_on"):
        yield from _duplicates(data, part, "*", "id")


def select(data: Data, *pattern: str) -> Iterator[tuple[Location, Data]]:
    """What lies at a path of keys, where `*` is every item of a list; nothing where the shape is another."""
    if not pattern:
        yield (), data
        return
    head, rest = pattern[0], pattern[1:]
    parts: list[tuple[str | int, Data]] = []
    if head == "*" and isinstance(data, list):
        parts = list(enumerate(data))
    elif head != "*" and isinstance(data, dict) and head in data:
        parts = [(head, data[head])]
    for key, part in parts:
        for location, found in select(part, *rest):
            yield (key, *location), found


def texts(data: Data, *pattern: str) -> list[tuple[Location, str]]:
    """The texts at a path of keys."""
    return [(location, found) for location, found in select(data, *pattern) if isinstance(found, str)]


def _duplicates(data: Data, *pattern: str) -> Iterator[Mistake]:
    first: dict[str, Location] = {}
    for location, text in texts(data, *pattern):
        if text in first:
            yield location, f"`{text}` is taken by {path(first[text])}; choose another"
        first.setdefault(text, location)


def _unknown_actions(data: Data) -> Iterator[Mistake]:
    known = {NO_ACTION, *(text for _, text in texts(data, "actions", "*", "id"))}
    for location, action in texts(data, "baseline", "*", "action"):
        if action not in known:
            yield location, f"the program has no action `{action}`{nearest(action, known)}"


def _missing_baseline(data: Data) -> Iterator[Mistake]:
    for location, share in select(data, "groups", "business_as_usual"):
        if _buckets(share) and not any(select(data, "baseline", "*")):
            yield location, "needs a `baseline` to serve; if that is no contact, write `- action: NO_ACTION` there"


def _unknown_in_scopes(data: Data) -> Iterator[Mistake]:
    n_actions = len(list(select(data, "actions", "*")))
    for key in ("channel", "message", "id"):
        known = [text for _, text in texts(data, "actions", "*", key)]
        if len(known) < n_actions:
            continue  # an action lacks it; that is told, and it may be the one meant here
        patterns = [(part, "*", "scope", "action" if key == "id" else key) for part in ("caps", "budgets")]
        if key == "channel":
            patterns.append(("quiet_hours", "*", "channels", "*"))
        yield from _strangers(data, patterns, key, known)
    tags = [text for _, text in texts(data, "actions", "*", "tags", "*")]
    yield from _strangers(data, [(part, "*", "scope", "tag") for part in ("caps", "budgets")], "tag", tags)


def _strangers(data: Data, patterns: Sequence[tuple[str, ...]], what: str, known: Sequence[str]) -> Iterator[Mistake]:
    for pattern in patterns:
        for location, text in texts(data, *pattern):
            if text not in known:
                yield location, f"no action of the program has the {what} `{text}`{nearest(text, known)}"


def _shares(data: Data) -> Iterator[Mistake]:
    sizes = [_buckets(share) for group in _GROUPS for _, share in select(data, "groups", group)]
    known = [size for size in sizes if size is not None]
    has_groups = any(isinstance(groups, dict) for _, groups in select(data, "groups"))
    if has_groups and len(known) == len(sizes) and sum(known) != BUCKETS:
        yield ("groups",), f"the shares sum to {sum(known) / 100:g}%; they must sum to 100%"


def _buckets(share: Data) -> int | None:
    """A share in buckets; None if it is no share, which is told by itself."""
    try:
        return _SHARE.validate_python(share)
    except ValidationError:
        return None


def _floor(data: Data) -> Iterator[Mistake]:
    n = len(list(select(data, "actions", "*"))) + 1
    for location, floor in _floors(data):
        if n > 1 and floor > 1 / n:
            yield (
                location,
                f"{floor:g} is more than 1/{n} for {n - 1} actions and NO_ACTION; use at most {int(1e4 / n) / 1e4:g}",
            )


def _floors(data: Data) -> Iterator[tuple[Location, float]]:
    """The exploration's floor, unless it is no share at all, which is told by itself."""
    for location, floor in select(data, "exploration", "floor"):
        if isinstance(floor, (int, float)) and not isinstance(floor, bool) and 0 <= floor <= 1:
            yield location, floor


def _exploration_floor(data: Data) -> float:
    return next((float(floor) for _, floor in _floors(data)), 0.0)


def _least_shares(data: Data) -> Iterator[Mistake]:
    """Whether every action can have its `min_share`, and the others and NO_ACTION the floor."""
    floor = _exploration_floor(data)
    given = [(_buckets(share) or 0) / BUCKETS for _, share in select(data, "actions", "*", "min_share")]
    without = len(list(select(data, "actions", "*"))) + 1 - len(given)
    total = sum(max(share, floor) for share in given) + without * floor
    if any(given) and total > 1 + 1e-9:
        rest = f" and the floor of {floor:.4g} for each of the others" if floor else ""
        yield ("actions",), f"every `min_share`{rest} come to {total:.2%} together; lower some, so that all can hold"


def _shares_below_floor(data: Data) -> Iterator[Mistake]:
    floor = _exploration_floor(data)
    for pattern in (("actions", "*", "max_share"), ("exploration", "low_data", "max_share")):
        for location, share in select(data, *pattern):
            buckets = _buckets(share)
            if buckets is not None and buckets / BUCKETS < floor:
                yield location, f"{share} is less than the exploration `floor` of {floor:.4g}; raise it, or lower that"


def _free_of_charge(data: Data) -> Iterator[Mistake]:
    actions = [action for _, action in select(data, "actions", "*") if isinstance(action, dict)]
    for location, budget in select(data, "budgets", "*"):
        if isinstance(budget, dict) and "money" in budget:
            concerned = [action for action in actions if _in_scope(action, budget.get("scope"))]
            if concerned and not any(action.get("cost") for action in concerned):
                yield (
                    (*location, "money"),
                    "no action that it concerns has a `cost`, so that it is never used up; "
                    "give them one, or limit contacts by `limit`",
                )


def _in_scope(action: Mapping[str, Data], scope: Data) -> bool:
    wanted = scope if isinstance(scope, dict) else {}
    tags = action.get("tags")
    return all(
        wanted.get(key) in (None, action.get(own))
        for key, own in (("channel", "channel"), ("message", "message"), ("action", "id"))
    ) and (wanted.get("tag") is None or (isinstance(tags, list) and wanted["tag"] in tags))


def _unknown_variables(data: Data) -> Iterator[Mistake]:
    declared = declared_context(data)
    events = tuple(text for _, text in texts(data, "live_events", "*"))
    live = set(live_names(counting(events)))
    for pattern in RULES:
        for location, rule in texts(data, *pattern):
            for name in sorted(members(rule, "context") - declared):
                hint = nearest(name, declared) or "; declare its type there"
                yield location, f"`context.{name}` is not declared in the program's `context`{hint}"
            for name in sorted(members(rule, "live") - live):
                hint = nearest(name, live) or "; add its event to `live_events`"
                yield location, f"there is no live feature `live.{name}`{hint}"


def declared_context(data: Data) -> set[str]:
    """The names that a program declares in its `context`."""
    return {str(name) for _, context in select(data, "context") if isinstance(context, dict) for name in context}


def counting(events: tuple[str, ...]) -> Program:
    """A program of which only the live events matter."""
    return Program("", 0, "", (), RewardDefinition({}, 1), GroupShares(""), live_events=events)
