"""A checked document to the core's program or contact policy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from decision_service.core import program as core
from decision_service.core.groups import BUCKETS
from decision_service.core.values import ValueType
from decision_service.documents import schema


def program(document: schema.ProgramDocument, version: int) -> core.Program:
    """The program that a document describes."""
    return core.Program(
        name=document.name,
        version=version,
        feature_service=document.features.service,
        actions=tuple(_action(action) for action in document.actions),
        reward=_reward(document.reward),
        groups=_groups(document),
        description=document.description,
        audience=document.audience,
        baseline=tuple(core.BaselineRule(rule.action, rule.when) for rule in document.baseline),
        caps=tuple(
            _cap(cap, cap.scope, document.name if cap.scope.program == schema.THIS_PROGRAM else None)
            for cap in document.caps
        ),
        quiet_hours=_quiet_hours(document.quiet_hours),
        exploration=core.Exploration(
            kind=core.ExplorationKind(document.exploration.kind),
            epsilon=document.exploration.epsilon,
            temperature=document.exploration.temperature,
            gamma=document.exploration.gamma,
            floor=document.exploration.floor,
        ),
        learning_mode=core.LearningMode(document.learning_mode.upper()),
        context={name: ValueType(declared) for name, declared in document.context.items()},
        live_events=tuple(document.live_events),
        model_excludes=frozenset(document.features.exclude_from_model),
        features_missing=core.WhenFeaturesMissing(document.features.on_missing),
        require_fresh=document.features.require_fresh,
        lease_s=document.lease,
        starts_at_ms=document.starts_at,
        ends_at_ms=document.ends_at,
    )


def contact_policy(document: schema.ContactPolicyDocument, version: int) -> core.ContactPolicy:
    """The contact policy that a document describes."""
    holdout = document.holdout
    return core.ContactPolicy(
        version=version,
        caps=tuple(_cap(cap, cap.scope, cap.scope.program) for cap in document.caps),
        quiet_hours=_quiet_hours(document.quiet_hours),
        consent=core.Consent(dict(document.consent.features), document.consent.default == "allow"),
        suppress_on=tuple(
            core.SuppressOn(rule.outcome, rule.channels == "all", rule.for_) for rule in document.suppress_on
        ),
        holdout=core.GlobalHoldout(holdout.share, holdout.salt) if holdout else core.GlobalHoldout(),
        timezone_feature=document.timezone_feature,
        unknown_timezone=document.unknown_timezone,
    )


def _action(document: schema.ActionDocument) -> core.Action:
    return core.Action(
        id=document.id,
        channel=document.channel,
        message=document.message,
        tags=frozenset(document.tags),
        attributes=dict(document.attributes),
        payload_json=document.payload,
        eligible=document.eligible,
        starts_at_ms=document.starts_at,
        ends_at_ms=document.ends_at,
    )


def _cap(document: schema.CapDocument, scope: schema.ScopeDocument, program: str | None) -> core.FrequencyCap:
    return core.FrequencyCap(
        id=document.id,
        limit=document.limit,
        window_s=document.rolling,
        calendar=core.CalendarUnit(document.calendar) if document.calendar else None,
        scope=core.Scope(channel=scope.channel, program=program, message=scope.message, tag=scope.tag),
    )


def _quiet_hours(documents: Sequence[schema.QuietHoursDocument]) -> tuple[core.QuietHours, ...]:
    return tuple(
        core.QuietHours(
            id=document.id,
            start_minute=document.from_,
            end_minute=document.to,
            channels=frozenset(document.channels),
            when_quiet=core.WhenQuiet(document.when_quiet),
        )
        for document in documents
    )


def _groups(document: schema.ProgramDocument) -> core.GroupShares:
    shares = document.groups
    if shares is None:
        return core.GroupShares(salt=document.name, treatment=BUCKETS)
    return core.GroupShares(
        salt=shares.salt or document.name,
        treatment=shares.treatment,
        random_control=shares.random_control,
        business_as_usual=shares.business_as_usual,
        holdout=shares.holdout,
    )


def _reward(document: schema.RewardDocument) -> core.RewardDefinition:
    # The version follows from the definition alone: republished unchanged, it keeps its rewards.
    definition = json.dumps(document.model_dump(), sort_keys=True)
    low, high = document.bounds
    return core.RewardDefinition(
        outcomes=dict(document.outcomes),
        window_s=document.window,
        use_value=document.value == "value",
        default=document.default,
        aggregation=core.Aggregation(document.aggregation),
        low=low,
        high=high,
        early_tolerance_s=document.early_tolerance,
        version=hashlib.sha256(definition.encode()).hexdigest()[:12],
    )
