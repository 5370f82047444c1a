"""A checked document to the core's program or contact policy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from decision_service.core.guardrails.groups import BUCKETS
from decision_service.core.model import program as core
from decision_service.core.model import reward as rewards
from decision_service.core.model.values import ValueType
from decision_service.documents import guardrails, holiday_calendars, schema


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
        caps=tuple(_cap(cap, _program_scope(cap.scope, document.name)) for cap in document.caps),
        budgets=tuple(_budget(budget, _program_scope(budget.scope, document.name)) for budget in document.budgets),
        quiet_hours=_quiet_hours(document.quiet_hours),
        value=document.value,
        priority=document.priority,
        exploration=_exploration(document.exploration, document.exploration.low_data),
        learning_mode=core.LearningMode(document.learning_mode.upper()),
        learn_from=rewards.LearnFrom(
            activated_only=document.learn_from.decisions == "activated",
            leave_out=tuple(rewards.Period(period.from_, period.until) for period in document.learn_from.leave_out),
        ),
        context={name: ValueType(declared) for name, declared in document.context.items()},
        live_events=tuple(document.live_events),
        model_excludes=frozenset(document.features.exclude_from_model),
        features_missing=core.WhenFeaturesMissing(document.features.on_missing),
        require_fresh=document.features.require_fresh,
        lease_s=document.lease,
        state=core.ProgramState(document.state),
        starts_at_ms=document.starts_at,
        ends_at_ms=document.ends_at,
    )


def contact_policy(document: schema.ContactPolicyDocument, version: int) -> core.ContactPolicy:
    """The contact policy that a document describes."""
    holdout = document.holdout
    return core.ContactPolicy(
        version=version,
        caps=tuple(_cap(cap, _policy_scope(cap.scope)) for cap in document.caps),
        budgets=tuple(_budget(budget, _policy_scope(budget.scope)) for budget in document.budgets),
        quiet_hours=_quiet_hours(document.quiet_hours),
        consent=core.Consent(dict(document.consent.features), document.consent.default == "allow"),
        suppress_on=tuple(
            core.SuppressOn(rule.outcome, rule.channels == "all", rule.for_) for rule in document.suppress_on
        ),
        pauses=tuple(
            core.PauseRule(rule.id, rule.outcome, rule.count, rule.within, rule.for_, core.PauseOf(rule.pauses))
            for rule in document.pause_on
        ),
        arbitration=core.Arbitration(
            exploration=_exploration(document.arbitration.exploration),
            due_within_s=document.arbitration.due_within,
            due_discount=document.arbitration.due_discount,
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
        ignores_caps=document.ignores_caps,
        counts_toward_caps=document.counts_toward_caps,
        cost_micros=document.cost,
        lever=document.lever,
        min_share=document.min_share / BUCKETS,
        max_share=document.max_share / BUCKETS,
    )


def _exploration(document: schema.SpreadDocument, low_data: schema.LowDataDocument | None = None) -> core.Exploration:
    exploration = core.Exploration(
        kind=core.ExplorationKind(document.kind),
        epsilon=document.epsilon,
        temperature=document.temperature,
        gamma=document.gamma,
        floor=document.floor,
    )
    if low_data is None:
        return exploration
    return replace(exploration, low_data_below=low_data.below, low_data_max_share=low_data.max_share / BUCKETS)


def _program_scope(document: guardrails.ProgramScopeDocument, name: str) -> core.Scope:
    # Another program's action may have the same id; it is not the one that is meant.
    own = document.program == guardrails.THIS_PROGRAM or document.action is not None
    return core.Scope(
        channel=document.channel,
        program=name if own else None,
        message=document.message,
        tag=document.tag,
        action=document.action,
    )


def _policy_scope(document: guardrails.PolicyScopeDocument) -> core.Scope:
    return core.Scope(document.channel, document.program, document.message, document.tag)


def _cap(document: guardrails.CapDocument, scope: core.Scope) -> core.FrequencyCap:
    return core.FrequencyCap(
        id=document.id,
        limit=document.limit or 1,  # a gap has none
        window_s=document.rolling or document.gap,
        calendar=core.CalendarUnit(document.calendar) if document.calendar else None,
        scope=scope,
        counts=core.CapCounts(document.counts),
        week_starts=document.week_starts,
    )


def _budget(document: guardrails.BudgetDocument, scope: core.Scope) -> core.Budget:
    return core.Budget(
        id=document.id,
        limit=document.limit or document.money or 0,  # a document has one of them
        in_money=document.money is not None,
        period=core.BudgetPeriod(document.per),
        scope=scope,
        timezone=document.timezone,
        week_starts=document.week_starts,
        paced=document.pace is not None,
    )


def _quiet_hours(documents: Sequence[guardrails.QuietHoursDocument]) -> tuple[core.QuietHours, ...]:
    return tuple(
        core.QuietHours(
            id=document.id,
            start_minute=document.from_,
            end_minute=document.to,
            channels=frozenset(document.channels),
            when_quiet=core.WhenQuiet(document.when_quiet),
            weekdays=frozenset(document.days),
            holidays=holiday_calendars.dates(document.holidays) if document.holidays else frozenset(),
            holiday_calendar=document.holidays or "",
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


def _reward(document: schema.RewardDocument) -> rewards.RewardDefinition:
    # The version follows from the definition alone: republished unchanged, it keeps its rewards.
    low, high = document.bounds or document.reach
    definition = json.dumps(document.model_dump() | {"bounds": [low, high]}, sort_keys=True)
    return rewards.RewardDefinition(
        outcomes=dict(document.outcomes),
        window_s=document.window,
        use_value=document.value == "value",
        default=document.default,
        aggregation=rewards.Aggregation(document.aggregation),
        low=low,
        high=high,
        early_tolerance_s=document.early_tolerance,
        attribution=rewards.Attribution(document.attribution),
        shares_named=document.named_outcomes == "shared",
        version=hashlib.sha256(definition.encode()).hexdigest()[:12],
    )
