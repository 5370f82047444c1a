"""The decision record and its parts ↔ the messages of `nba.v1`, as `messages` does the rest; the same laws hold."""

from __future__ import annotations

from decision_service.contract.messages import (
    FEATURE_STATUS_FROM_PB,
    FEATURE_STATUS_TO_PB,
    GROUP_FROM_PB,
    GROUP_TO_PB,
    LEARNING_MODE_FROM_PB,
    LEARNING_MODE_TO_PB,
    POLICY_KIND_FROM_PB,
    POLICY_KIND_TO_PB,
    REASON_FROM_PB,
    REASON_TO_PB,
    fill_state,
    fill_values,
    state_from_pb,
    values_from_pb,
)
from decision_service.contract.pb import record_pb2
from decision_service.core.model.record import (
    Candidate,
    DecideRequest,
    DecisionRecord,
    Exclusion,
    ModelVersion,
    Option,
    Reservation,
    ServedFeatures,
    Token,
)


def fill_exclusion(pb: record_pb2.Exclusion, exclusion: Exclusion) -> None:
    """Set an empty message."""
    pb.action = exclusion.action
    pb.reason = REASON_TO_PB[exclusion.reason]
    pb.detail = exclusion.detail


def exclusion_from_pb(pb: record_pb2.Exclusion) -> Exclusion:
    """The core value."""
    return Exclusion(pb.action, REASON_FROM_PB[pb.reason], pb.detail)


def fill_model(pb: record_pb2.ModelVersion, model: ModelVersion) -> None:
    """Set an empty message, present even if all its names are empty."""
    pb.SetInParent()
    pb.name = model.name
    pb.version = model.version
    pb.encoder_version = model.encoder_version


def model_from_pb(pb: record_pb2.ModelVersion) -> ModelVersion:
    """The core value."""
    return ModelVersion(pb.name, pb.version, pb.encoder_version)


def fill_record(pb: record_pb2.DecisionRecord, record: DecisionRecord) -> None:
    """Set an empty message."""
    request = record.request
    pb.decision_id = record.decision_id
    pb.request_id = request.request_id
    pb.customer_id = request.customer_id
    pb.programs.extend(request.programs)
    pb.program = record.program
    pb.body_digest = record.body_digest
    pb.decided_at_ms = record.decided_at_ms
    fill_values(pb.context, request.context)
    pb.channels.extend(request.channels)
    if request.pinned_group is not None:
        pb.pinned_group = GROUP_TO_PB[request.pinned_group]
    pb.no_action_when_unavailable = request.no_action_when_unavailable

    pb.program_version = record.program_version
    pb.policy_version = record.policy_version
    if record.model is not None:
        fill_model(pb.model, record.model)

    fill_features(pb.features, record.features)
    fill_values(pb.live, record.live)
    fill_state(pb.state, record.state)

    pb.group = GROUP_TO_PB[record.group]
    pb.learning_mode = LEARNING_MODE_TO_PB[record.learning_mode]
    pb.policy = POLICY_KIND_TO_PB[record.policy]
    for option in record.options:
        _fill_option(pb.options.add(), option)
    for exclusion in record.exclusions:
        fill_exclusion(pb.exclusions.add(), exclusion)
    pb.draw = record.draw
    pb.drawn = record.drawn
    pb.chosen = record.chosen
    if record.reservation is not None:
        pb.reservation.SetInParent()
        pb.reservation.lease_expires_at_ms = record.reservation.lease_expires_at_ms
        if record.reservation.send_at_ms is not None:
            pb.reservation.send_at_ms = record.reservation.send_at_ms
        for token in record.reservation.tokens:
            pb.reservation.tokens.add(budget=token.budget, period=token.period, amount=token.amount)
    pb.degradations.extend([REASON_TO_PB[reason] for reason in record.degradations])
    pb.trainable = record.trainable
    pb.encoding_digest = record.encoding_digest
    pb.timings_us.update(record.timings_us)
    pb.unlogged = record.unlogged
    pb.channel = record.channel
    pb.program_probability = record.program_probability
    if record.program_score is not None:
        pb.program_score = record.program_score
    for candidate in record.others:
        _fill_candidate(pb.others.add(), candidate, record.features)
    pb.timezone = record.timezone
    pb.budget_levels.update(record.budget_levels)
    pb.ledger_id = record.ledger_id
    if record.in_audience is not None:
        pb.in_audience = record.in_audience
    if record.global_holdout is not None:
        pb.global_holdout = record.global_holdout


def record_to_pb(record: DecisionRecord) -> record_pb2.DecisionRecord:
    """As a message."""
    pb = record_pb2.DecisionRecord()
    fill_record(pb, record)
    return pb


def _fill_option(pb: record_pb2.Option, option: Option) -> None:
    pb.action = option.action
    pb.probability = option.probability
    if option.predicted_reward is not None:
        pb.predicted_reward = option.predicted_reward
    if option.apprentice_probability is not None:
        pb.apprentice_probability = option.apprentice_probability
    if option.score is not None:
        pb.score = option.score
    if option.base_probability is not None:
        pb.base_probability = option.base_probability


def _option_from_pb(pb: record_pb2.Option) -> Option:
    return Option(
        action=pb.action,
        probability=pb.probability,
        predicted_reward=pb.predicted_reward if pb.HasField("predicted_reward") else None,
        apprentice_probability=pb.apprentice_probability if pb.HasField("apprentice_probability") else None,
        score=pb.score if pb.HasField("score") else None,
        base_probability=pb.base_probability if pb.HasField("base_probability") else None,
    )


def _reservation_from_pb(pb: record_pb2.Reservation) -> Reservation:
    return Reservation(
        pb.lease_expires_at_ms,
        pb.send_at_ms if pb.HasField("send_at_ms") else None,
        tuple([Token(t.budget, t.period, t.amount) for t in pb.tokens]),
    )


def fill_features(pb: record_pb2.ServedFeatures, features: ServedFeatures) -> None:
    """Set an empty message."""
    pb.status = FEATURE_STATUS_TO_PB[features.status]
    fill_values(pb.values, features.values)
    pb.event_times_ms.update(features.event_times_ms)
    pb.stale_views.extend(features.stale_views)
    pb.unread.extend(sorted(features.unread))


def _features_from_pb(pb: record_pb2.ServedFeatures) -> ServedFeatures:
    return ServedFeatures(
        status=FEATURE_STATUS_FROM_PB[pb.status],
        values=values_from_pb(pb.values),
        event_times_ms=dict(pb.event_times_ms),
        stale_views=tuple(pb.stale_views),
        unread=frozenset(pb.unread),
    )


def _fill_candidate(pb: record_pb2.Candidate, candidate: Candidate, decided: ServedFeatures) -> None:
    pb.program = candidate.program
    pb.program_version = candidate.program_version
    pb.probability = candidate.probability
    if candidate.score is not None:
        pb.score = candidate.score
    pb.group = GROUP_TO_PB[candidate.group]
    pb.learning_mode = LEARNING_MODE_TO_PB[candidate.learning_mode]
    pb.policy = POLICY_KIND_TO_PB[candidate.policy]
    if candidate.model is not None:
        fill_model(pb.model, candidate.model)
    if candidate.features is not decided:  # programs of one FeatureService share them; equal values may differ in type
        fill_features(pb.features, candidate.features)
    fill_values(pb.live, candidate.live)
    for option in candidate.options:
        _fill_option(pb.options.add(), option)
    for exclusion in candidate.exclusions:
        fill_exclusion(pb.exclusions.add(), exclusion)
    pb.degradations.extend([REASON_TO_PB[reason] for reason in candidate.degradations])
    pb.encoding_digest = candidate.encoding_digest
    if candidate.in_audience is not None:
        pb.in_audience = candidate.in_audience


def _candidate_from_pb(pb: record_pb2.Candidate, decided: ServedFeatures) -> Candidate:
    return Candidate(
        program=pb.program,
        program_version=pb.program_version,
        probability=pb.probability,
        score=pb.score if pb.HasField("score") else None,
        group=GROUP_FROM_PB[pb.group],
        learning_mode=LEARNING_MODE_FROM_PB[pb.learning_mode],
        policy=POLICY_KIND_FROM_PB[pb.policy],
        model=model_from_pb(pb.model) if pb.HasField("model") else None,
        features=_features_from_pb(pb.features) if pb.HasField("features") else decided,
        live=values_from_pb(pb.live),
        options=tuple(map(_option_from_pb, pb.options)),
        exclusions=tuple(map(exclusion_from_pb, pb.exclusions)),
        degradations=tuple([REASON_FROM_PB[reason] for reason in pb.degradations]),
        encoding_digest=pb.encoding_digest,
        in_audience=pb.in_audience if pb.HasField("in_audience") else None,
    )


def record_from_pb(pb: record_pb2.DecisionRecord) -> DecisionRecord:
    """The core value. A record of a release that knew one program per request has no `programs` and no
    `program_probability`: its program was the only one, and certain to decide."""
    features = _features_from_pb(pb.features)
    return DecisionRecord(
        decision_id=pb.decision_id,
        request=DecideRequest(
            request_id=pb.request_id,
            customer_id=pb.customer_id,
            programs=tuple(pb.programs) or (pb.program,),
            context=values_from_pb(pb.context),
            channels=tuple(pb.channels),
            pinned_group=GROUP_FROM_PB[pb.pinned_group] if pb.pinned_group else None,
            no_action_when_unavailable=pb.no_action_when_unavailable,
        ),
        body_digest=pb.body_digest,
        decided_at_ms=pb.decided_at_ms,
        program=pb.program,
        program_version=pb.program_version,
        policy_version=pb.policy_version,
        model=model_from_pb(pb.model) if pb.HasField("model") else None,
        features=features,
        live=values_from_pb(pb.live),
        state=state_from_pb(pb.state),
        group=GROUP_FROM_PB[pb.group],
        learning_mode=LEARNING_MODE_FROM_PB[pb.learning_mode],
        policy=POLICY_KIND_FROM_PB[pb.policy],
        options=tuple(map(_option_from_pb, pb.options)),
        exclusions=tuple(map(exclusion_from_pb, pb.exclusions)),
        draw=pb.draw,
        drawn=pb.drawn,
        chosen=pb.chosen,
        reservation=_reservation_from_pb(pb.reservation) if pb.HasField("reservation") else None,
        degradations=tuple([REASON_FROM_PB[reason] for reason in pb.degradations]),
        trainable=pb.trainable,
        encoding_digest=pb.encoding_digest,
        timings_us=dict(pb.timings_us),
        unlogged=pb.unlogged,
        channel=pb.channel,
        program_probability=pb.program_probability or 1.0,
        program_score=pb.program_score if pb.HasField("program_score") else None,
        others=tuple(_candidate_from_pb(candidate, features) for candidate in pb.others),
        timezone=pb.timezone,
        budget_levels=dict(pb.budget_levels),
        ledger_id=pb.ledger_id,
        in_audience=pb.in_audience if pb.HasField("in_audience") else None,
        global_holdout=pb.global_holdout if pb.HasField("global_holdout") else None,
    )
