"""Checks of a program that need more than its document: features, and the contact policy published beside it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from decision_service.core.guardrails.live import live_names
from decision_service.core.model.program import ContactPolicy
from decision_service.documents.checks import RULES, Mistake, counting, declared_context, texts
from decision_service.documents.fields import nearest
from decision_service.documents.rules.rule_language import members
from decision_service.documents.source import Data


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a program is checked against.

    policy: the contact policy in force, None if it is not known.
    features: FeatureService → names of its features, None for one that is not known here.
    """

    policy: ContactPolicy | None
    features: Callable[[str], Collection[str] | None]

    def mistakes(self, program: Data) -> Iterator[Mistake]:
        """What a program names that does not exist."""
        if self.policy is not None:
            yield from _unknown_caps(program, self.policy)
        for _, service in texts(program, "features", "service"):
            features = self.features(service)
            if features is not None:
                yield from _unknown_features(program, service, features)


def _unknown_caps(program: Data, policy: ContactPolicy) -> Iterator[Mistake]:
    known = {*(cap for _, cap in texts(program, "caps", "*", "id")), *(cap.id for cap in policy.caps)}
    for location, cap in texts(program, "actions", "*", "ignores_caps", "*"):
        if cap not in known:
            hint = nearest(cap, known) or "; write `all`, or ids of caps that exist"
            yield location, f"neither the program nor the contact policy has a cap `{cap}`{hint}"


def _unknown_features(program: Data, service: str, features: Collection[str]) -> Iterator[Mistake]:
    add = "; add it there and run `nba features build`, or remove it"
    for pattern in RULES:
        for location, rule in texts(program, *pattern):
            for name in sorted(members(rule, "customer") - set(features)):
                yield location, f"{service} has no feature `customer.{name}`{nearest(name, features) or add}"
    live = live_names(counting(tuple(event for _, event in texts(program, "live_events", "*"))))
    seen = {*features, *live, *declared_context(program)}
    for location, name in texts(program, "features", "exclude_from_model", "*"):
        if name not in seen:
            yield location, f"the model sees nothing named `{name}`{nearest(name, seen) or '; remove it'}"
