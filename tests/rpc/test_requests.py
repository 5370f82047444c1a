"""Every bad input gets one clear error that names each field and the fix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from decision_service.application.administration import CustomerSuppression
from decision_service.contract import messages
from decision_service.contract.pb import admin_service_pb2 as admin_pb
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.contract.pb import record_pb2, types_pb2
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import Group
from decision_service.core.model.record import ALL_PROGRAMS, ActivationStatus, DecideRequest
from decision_service.rpc import admin_requests, requests

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
LONG = "x" * 257


def decide(**changes: Any) -> pb.DecideRequest:
    """A valid request, changed."""
    context = {name: messages.value_to_pb(value) for name, value in changes.pop("context", {}).items()}
    return pb.DecideRequest(
        **{"request_id": "r", "customer_id": "c", "programs": ["welcome"], "context": context, **changes}
    )


def outcome(**changes: Any) -> pb.RecordOutcomesRequest:
    """One valid outcome, changed."""
    fields = {"outcome_id": "o", "customer_id": "c", "name": "visit", "occurred_at_ms": NOW_MS, **changes}
    return pb.RecordOutcomesRequest(outcomes=[record_pb2.Outcome(**fields)])


def event(**changes: Any) -> pb.RecordEventsRequest:
    """One valid event, changed."""
    fields = {"event_id": "e", "customer_id": "c", "name": "page_view", "occurred_at_ms": NOW_MS, **changes}
    return pb.RecordEventsRequest(events=[record_pb2.Event(**fields)])


def report(**changes: Any) -> pb.ReportActivationRequest:
    """A valid report, changed."""
    return pb.ReportActivationRequest(**{"decision_id": "d", "status": types_pb2.SENT, **changes})


def suppress(**changes: Any) -> admin_pb.SuppressRequest:
    """A valid suppression, changed."""
    return admin_pb.SuppressRequest(**{"customer_id": "c", "channel": "*", **changes})


def batch(*suppressions: admin_pb.SuppressRequest) -> admin_pb.SuppressBatchRequest:
    """Several at once."""
    return admin_pb.SuppressBatchRequest(suppressions=suppressions)


def simulate(**changes: Any) -> admin_pb.SimulateProgramRequest:
    """A valid simulation, changed."""
    fields = {"document": "name: p", "from_ms": NOW_MS, "until_ms": NOW_MS + DAY_MS, **changes}
    return admin_pb.SimulateProgramRequest(**fields)


BAD: list[tuple[Callable[[Any], object], Any, str, str]] = [
    (requests.decide_request, decide(request_id=""), "request_id", "must not be empty; give 1 to 256"),
    (requests.decide_request, decide(request_id=LONG), "request_id", "has 257 characters; give at most 256"),
    (requests.decide_request, decide(customer_id=""), "customer_id", "must not be empty"),
    (requests.decide_request, decide(customer_id=LONG), "customer_id", "257"),
    (requests.decide_request, decide(programs=[]), "programs", "is empty; name those to choose among, or '*' for all"),
    (requests.decide_request, decide(programs=[""]), "programs[0]", "must not be empty"),
    (requests.decide_request, decide(programs=[LONG]), "programs[0]", "257"),
    (requests.decide_request, decide(programs=["a", "b", "a"]), "programs", "names a program twice"),
    (requests.decide_request, decide(programs=["*", "a"]), "programs", "'*' stands for every program; give it alone"),
    (
        requests.decide_request,
        decide(programs=[f"p{i}" for i in range(101)]),
        "programs",
        "101 entries; give at most 100",
    ),
    (requests.decide_request, decide(at_ms=NOW_MS), "at_ms", "is for dry runs"),
    (requests.decide_request, decide(at_ms=0, dry_run=True), "at_ms", "is missing"),
    (requests.decide_request, decide(at_ms=1_700_000_000, dry_run=True), "at_ms", "milliseconds, not seconds"),
    (requests.decide_request, decide(at_ms=NOW_MS * 1_000, dry_run=True), "at_ms", "not microseconds"),
    (requests.decide_request, decide(channels=["email", ""]), "channels[1]", "must not be empty"),
    (requests.decide_request, decide(context={"age": math.nan}), "context['age']", "is nan; give a finite number"),
    (requests.decide_request, decide(context={"age": -math.inf}), "context['age']", "is -inf"),
    (requests.decide_request, decide(context={"": 1}), "context['']", "must not be empty"),
    (requests.decide_request, decide(context={LONG: 1}), f"context['{'x' * 256}']", "257"),
    (requests.decide_request, decide(context={"t": "x" * 5_000}), "context['t']", "has 5000 characters"),
    (requests.decide_request, decide(context={"t": ("a", "x" * 5_000)}), "context['t'][1]", "5000"),
    (requests.decide_request, decide(context={"t": ("a",) * 300}), "context['t']", "300 entries; give at most 256"),
    (requests.decide_request, decide(context={f"f{i}": i for i in range(257)}), "context", "257 entries"),
    (requests.decide_request, decide(pinned_group=9), "pinned_group", "9 is not known; use one of TREATMENT, RANDOM"),
    (requests.batch, pb.DecideBatchRequest(requests=[decide()] * 1_001), "requests", "1001 entries"),
    (requests.decision_id, pb.GetDecisionRequest(), "decision_id", "must not be empty"),
    (requests.decision_id, pb.ExplainDecisionRequest(decision_id=LONG), "decision_id", "257"),
    (requests.customer_id, pb.GetCustomerRequest(), "customer_id", "must not be empty"),
    (requests.customer_id, pb.GetCustomerRequest(customer_id=LONG), "customer_id", "257"),
    (requests.activation_report, report(decision_id=""), "decision_id", "must not be empty"),
    (requests.activation_report, report(status=0), "status", "use one of SENT, FAILED, SKIPPED, DELIVERED, B"),
    (requests.activation_report, report(status=7), "status", "7 is not known; use one of SENT"),
    (requests.activation_report, report(at_ms=1_700_000_000), "at_ms", "milliseconds, not seconds"),
    (requests.activation_report, report(at_ms=0), "at_ms", "is missing"),
    (requests.activation_report, report(detail="x" * 5_000), "detail", "5000"),
    (requests.outcomes, outcome(outcome_id=""), "outcomes[0].outcome_id", "must not be empty"),
    (requests.outcomes, outcome(customer_id=LONG), "outcomes[0].customer_id", "257"),
    (requests.outcomes, outcome(name=""), "outcomes[0].name", "must not be empty"),
    (requests.outcomes, outcome(occurred_at_ms=0), "outcomes[0].occurred_at_ms", "give UTC epoch milliseconds"),
    (requests.outcomes, outcome(occurred_at_ms=NOW_MS * 1_000), "outcomes[0].occurred_at_ms", "not microseconds"),
    (requests.outcomes, outcome(value=math.inf), "outcomes[0].value", "finite"),
    (requests.outcomes, outcome(value=-1e300), "outcomes[0].value", "within"),
    (requests.outcomes, outcome(customer_id="a\0b"), "outcomes[0].customer_id", "control characters"),
    (requests.outcomes, outcome(channel="\x1b[2J"), "outcomes[0].channel", "control characters"),
    (requests.outcomes, outcome(decision_id=LONG), "outcomes[0].decision_id", "257"),
    (requests.outcomes, outcome(channel=LONG), "outcomes[0].channel", "257"),
    (
        requests.outcomes,
        outcome(attributes={"price": types_pb2.Value(double_value=math.nan)}),
        "outcomes[0].attributes['price']",
        "finite",
    ),
    (requests.events, event(event_id=""), "events[0].event_id", "must not be empty"),
    (requests.events, event(customer_id=""), "events[0].customer_id", "must not be empty"),
    (requests.events, event(name=LONG), "events[0].name", "257"),
    (requests.events, event(occurred_at_ms=-5), "events[0].occurred_at_ms", "before 1973"),
    (admin_requests.publication, admin_pb.ApplyProgramRequest(document=" \n", author="a"), "document", "YAML or JSON"),
    (admin_requests.publication, admin_pb.ApplyContactPolicyRequest(document="a: 1"), "author", "must not be empty"),
    (admin_requests.program_version, admin_pb.GetProgramRequest(), "name", "must not be empty"),
    (
        admin_requests.program_version,
        admin_pb.GetProgramRequest(name="p", version=-1),
        "version",
        "is -1; give 0 or more",
    ),
    (admin_requests.rollback, admin_pb.RollbackProgramRequest(name="p", author="a"), "version", "is 0; give 1 or more"),
    (admin_requests.rollback, admin_pb.RollbackProgramRequest(name="p", version=1), "author", "must not be empty"),
    (admin_requests.rollback, admin_pb.RollbackContactPolicyRequest(author="a"), "version", "is 0; give 1 or more"),
    (admin_requests.rollback, admin_pb.RollbackContactPolicyRequest(version=1), "author", "must not be empty"),
    (
        admin_requests.rollback,
        admin_pb.RollbackContactPolicyRequest(version=1, author="a", note="x" * 5_000),
        "note",
        "5000",
    ),
    (
        admin_requests.contact_policy_version,
        admin_pb.GetContactPolicyRequest(version=-2),
        "version",
        "is -2; give 0 or more",
    ),
    (admin_requests.suppression, suppress(customer_id=""), "customer_id", "must not be empty"),
    (admin_requests.suppression, suppress(channel=""), "channel", "or * for every one"),
    (admin_requests.suppression, suppress(channel=LONG), "channel", "257"),
    (admin_requests.suppression, suppress(until_ms=5), "until_ms", "not seconds"),
    (admin_requests.suppression, suppress(note="x" * 5_000), "note", "5000"),
    (admin_requests.suppressions, batch(suppress(), suppress(customer_id="")), "suppressions[1].customer_id", "empty"),
    (admin_requests.suppressions, batch(suppress(channel="")), "suppressions[0].channel", "or * for every one"),
    (admin_requests.suppressions, batch(suppress(channel="a\nb")), "suppressions[0].channel", "control characters"),
    (admin_requests.suppressions, batch(suppress(until_ms=0)), "suppressions[0].until_ms", "is missing"),
    (admin_requests.suppressions, batch(suppress(note="x" * 5_000)), "suppressions[0].note", "5000"),
    (admin_requests.suppressions, batch(*[suppress()] * 1_001), "suppressions", "1001 entries; give at most 1000"),
    (admin_requests.lifting, admin_pb.UnsuppressRequest(customer_id="c", channel=LONG), "channel", "257"),
    (admin_requests.lifting, admin_pb.UnsuppressRequest(customer_id="c"), "channel", "or * for every one"),
    (admin_requests.lifting, admin_pb.UnsuppressRequest(channel="*"), "customer_id", "must not be empty"),
    (admin_requests.simulation, simulate(document=" \n"), "document", "YAML or JSON"),
    (admin_requests.simulation, simulate(from_ms=0), "from_ms", "is missing; give UTC epoch milliseconds"),
    (admin_requests.simulation, simulate(from_ms=1_700_000_000), "from_ms", "not seconds"),
    (admin_requests.simulation, simulate(until_ms=0), "until_ms", "is missing"),
    (admin_requests.simulation, simulate(until_ms=NOW_MS), "until_ms", "not after from_ms"),
    (admin_requests.simulation, simulate(until_ms=NOW_MS - 1), "until_ms", "give the end of the period"),
    (
        admin_requests.simulation,
        simulate(until_ms=NOW_MS + 93 * DAY_MS),
        "until_ms",
        "a period of 93.0 days; give at most 92",
    ),
]


@pytest.mark.parametrize(
    ("check", "message", "field", "fix"), BAD, ids=[f"{b[0].__name__}-{i}" for i, b in enumerate(BAD)]
)
def test_bad_input_is_named(check: Callable[[Any], object], message: Any, field: str, fix: str) -> None:
    """One violation, at the field's path, that says what to give instead."""
    with pytest.raises(InvalidRequest) as caught:
        check(message)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert fix in violation.message


def test_all_violations_come_at_once() -> None:
    """A request with several mistakes is told all of them, in one error."""
    with pytest.raises(InvalidRequest) as caught:
        requests.decide_request(
            decide(request_id="", customer_id=LONG, programs=[], context={"a": math.nan, "b": math.inf}, pinned_group=9)
        )
    assert {v.field for v in caught.value.violations} == {
        "request_id",
        "customer_id",
        "programs",
        "context['a']",
        "context['b']",
        "pinned_group",
    }


def test_all_violations_of_all_outcomes_come_at_once() -> None:
    """A list is checked to its end."""
    both = [*outcome(outcome_id="").outcomes, *outcome().outcomes, *outcome(name="", customer_id="").outcomes]
    with pytest.raises(InvalidRequest) as caught:
        requests.outcomes(pb.RecordOutcomesRequest(outcomes=both))
    assert {v.field for v in caught.value.violations} == {
        "outcomes[0].outcome_id",
        "outcomes[2].name",
        "outcomes[2].customer_id",
    }


def test_a_valid_request_is_converted() -> None:
    """Every field arrives, with the types of its values; an unset value is a missing one."""
    message = decide(
        context={"b": True, "i": 1, "f": 1.0, "s": "", "t": (), "m": None},
        channels=["email"],
        pinned_group=types_pb2.HOLDOUT_GROUP,
        no_action_when_unavailable=True,
    )
    request = requests.decide_request(message)
    context = {"b": True, "i": 1, "f": 1.0, "s": "", "t": (), "m": None}
    assert request == DecideRequest("r", "c", ("welcome",), context, ("email",), Group.HOLDOUT, True)
    assert {name: type(value) for name, value in request.context.items()} == {
        name: type(value) for name, value in context.items()
    }


def test_a_dry_run_as_of_a_time_is_converted() -> None:
    """Several programs, or all of them, and the time that a dry run is to be as of."""
    request = requests.decide_request(decide(programs=["b", "a"], dry_run=True, at_ms=NOW_MS))
    assert request == DecideRequest("r", "c", ("b", "a"), dry_run=True, at_ms=NOW_MS)
    assert requests.decide_request(decide(programs=["*"])).programs == (ALL_PROGRAMS,)


def test_a_valid_suppression_is_converted() -> None:
    """An absent time is for good; a batch keeps its order."""
    message = batch(suppress(), suppress(customer_id="d", channel="sms", until_ms=NOW_MS, note="asked"))
    assert admin_requests.suppressions(message) == [
        CustomerSuppression("c", "*"),
        CustomerSuppression("d", "sms", NOW_MS, "asked"),
    ]
    assert admin_requests.suppression(message.suppressions[0]) == CustomerSuppression("c", "*")


def test_all_violations_of_a_batch_and_a_simulation_come_at_once() -> None:
    """Of every row, and of every field."""
    with pytest.raises(InvalidRequest) as caught:
        admin_requests.suppressions(batch(suppress(customer_id=""), suppress(), suppress(channel="", until_ms=5)))
    assert [v.field for v in caught.value.violations] == [
        "suppressions[0].customer_id",
        "suppressions[2].channel",
        "suppressions[2].until_ms",
    ]
    with pytest.raises(InvalidRequest) as caught:
        admin_requests.simulation(admin_pb.SimulateProgramRequest())
    assert [v.field for v in caught.value.violations] == ["document", "from_ms", "until_ms"]


def test_a_quarter_may_be_simulated() -> None:
    """Of 92 days, and without a contact policy."""
    admin_requests.simulation(simulate(until_ms=NOW_MS + 92 * DAY_MS))


def test_a_valid_report_and_outcome_are_converted() -> None:
    """Absent optional fields keep their meaning: the server's time, and a value of 1."""
    assert requests.activation_report(report()) == requests.ActivationReport("d", ActivationStatus.SENT, None, "")
    assert requests.activation_report(report(at_ms=NOW_MS)).at_ms == NOW_MS
    assert requests.outcomes(outcome())[0].value == 1.0
    assert requests.outcomes(outcome(value=0.0))[0].value == 0.0
    assert requests.events(event(attributes={"n": messages.value_to_pb(3)}))[0].attributes == {"n": 3}
