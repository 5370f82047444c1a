"""The API over a real socket: the journey, its errors, health, reflection, overload, deadlines, drain."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from decision_service.adapters.clocks import ManualClock
from decision_service.application.feedback import Receipt
from decision_service.application.services import Services
from decision_service.client import DecisionClient, Excluded
from decision_service.contract import record_messages
from decision_service.contract.pb import admin_service_pb2 as admin_pb
from decision_service.contract.pb import admin_service_pb2_grpc, decision_service_pb2_grpc
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.core.model.errors import (
    Conflict,
    InvalidRequest,
    NbaError,
    NotFound,
    Overloaded,
    Unavailable,
)
from decision_service.core.model.program import Group, LearningMode
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import ActivationStatus, DecideRequest, Event, Outcome
from decision_service.rpc.server import Server
from tests.rpc.conftest import WELCOME, Gate

NOW_MS = 1_700_000_000_000


def request(number: int = 1, customer: str = "c") -> DecideRequest:
    """A valid one."""
    return DecideRequest(f"r{number}", customer, ("welcome",), {"page": "home"})


def contact(client: DecisionClient, customer: str = "c") -> str:
    """The id of a decision to contact the customer."""
    for number in range(200):
        answer = client.decide(request(number, customer))
        if answer.is_contact:
            return answer.decision_id
    raise AssertionError("200 uniform draws without a contact")


def test_a_decision_is_answered_in_full(client: DecisionClient) -> None:
    """Action, payload, distribution, exclusions and versions arrive as the record has them."""
    answer = client.decide(request())
    record = client.get_decision(answer.decision_id)
    assert record.request == request()
    assert answer.probability == record.probability == pytest.approx(1 / 3)
    assert answer.action == record.chosen
    assert answer.reasons == (Reason.MODEL_MISSING,)
    assert answer.exclusions == (Excluded("welcome", "sms_c", Reason.INELIGIBLE, "false"),)
    assert (answer.group, answer.learning_mode) == (Group.TREATMENT, LearningMode.ONLINE)
    assert (answer.program, answer.program_version, answer.decided_at_ms) == ("welcome", 1, NOW_MS)
    assert (answer.model, answer.predicted_reward, answer.unlogged) == (None, None, False)


def test_a_journey_runs_over_the_wire(client: DecisionClient) -> None:
    """Decide, send, report, outcome, event; each repetition is known as one."""
    decision_id = contact(client)
    record = client.get_decision(decision_id)
    assert record.reservation is not None
    sent = client.report_activation(decision_id, ActivationStatus.SENT)
    assert (sent.duplicate, sent.late) == (False, False)
    assert client.report_activation(decision_id, ActivationStatus.SENT).duplicate
    outcomes = [Outcome(f"o{i}", "c", "visit", NOW_MS, 0, decision_id=decision_id) for i in range(3)]
    assert client.record_outcomes(outcomes) == Receipt(3, 0)
    assert client.record_outcomes(outcomes) == Receipt(0, 3)
    assert client.record_events([Event("e", "c", "page_view", NOW_MS, 0, {"n": 1})]) == Receipt(1, 0)
    failed = client.report_activation(decision_id, ActivationStatus.FAILED)
    assert failed.contradicts is ActivationStatus.SENT


def test_a_lease_travels_with_the_answer(client: DecisionClient) -> None:
    """A contact's answer says until when its slot is held; a report after that is late."""
    decision_id = contact(client)
    reservation = client.get_decision(decision_id).reservation
    assert reservation is not None
    answer = client.decide(client.get_decision(decision_id).request)
    assert answer.lease_expires_at_ms == reservation.lease_expires_at_ms > NOW_MS


def test_a_decision_is_explained_and_replayed(client: DecisionClient) -> None:
    """The funnel names every action once, and recomputing gives the same."""
    answer = client.decide(request())
    explanation = client.explain(answer.decision_id)
    assert {step.action for step in explanation.funnel} == {"email_a", "push_b", "sms_c", "NO_ACTION"}
    (refused,) = [step for step in explanation.funnel if not step.kept]
    assert (refused.reason, refused.remedy) == (Reason.INELIGIBLE, Reason.INELIGIBLE.remedy)
    assert [step.action for step in explanation.funnel if step.chosen] == [answer.action]
    assert answer.decision_id in explanation.text
    assert explanation.record == client.get_decision(answer.decision_id)
    assert client.replay(answer.decision_id).identical


def test_a_request_id_stays_with_its_answer(client: DecisionClient) -> None:
    """The same request gets the same answer; another body under the same id is refused."""
    answer = client.decide(request())
    assert client.decide(request()) == answer
    with pytest.raises(Conflict, match="another body"):
        client.decide(DecideRequest("r1", "c", ("welcome",), {"page": "basket"}))


def test_a_batch_stands_item_by_item(client: DecisionClient) -> None:
    """Errors are results in their place, with the details that a call of their own would have had."""
    good, unknown, bad = request(), DecideRequest("r2", "c", ("welcom",)), DecideRequest("", "", ("welcome",))
    first, second, third = client.decide_batch([good, unknown, bad])
    assert first == client.decide(good)
    assert isinstance(second, NotFound)
    assert second.name == "welcom"
    assert isinstance(third, InvalidRequest)
    assert [v.field for v in third.violations] == ["request_id", "customer_id"]
    assert client.decide_batch([]) == []


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda c: c.decide(DecideRequest("r", "c", ("welcom",))), NotFound, "program 'welcom' not found; published"),
        (
            lambda c: c.decide(DecideRequest("r", "c", ("welcome",), {"page": 3})),
            InvalidRequest,
            "context['page']: is int",
        ),
        (lambda c: c.decide(DecideRequest("r", "c", ("welcome",), {"age": float("nan")})), InvalidRequest, "finite"),
        (lambda c: c.decide(DecideRequest("r", "c", ("welcome",), {}, ("fax",))), InvalidRequest, "channels[0]"),
        (
            lambda c: c.decide(DecideRequest("r", "c", ("welcome",), {"page": ["a"]})),
            InvalidRequest,
            "context['page']: c",
        ),
        (lambda c: c.decide(DecideRequest(7, None, ("welcome",))), InvalidRequest, "cannot be the int 7"),
        (lambda c: c.decide(DecideRequest("r", "c", ("welcome",), {"n": 2**64})), InvalidRequest, "out of range"),
        (lambda c: c.decide_batch([DecideRequest("r", 5, ("welcome",))]), InvalidRequest, "requests[0].customer_id"),
        (lambda c: c.record_outcomes([Outcome("o", "c", 7, NOW_MS, 0)]), InvalidRequest, "outcomes[0]"),
        (lambda c: c.get_decision("nope"), NotFound, "decision 'nope'"),
        (lambda c: c.get_decision(5), InvalidRequest, "decision_id: cannot be the int 5"),
        (lambda c: c.explain(""), InvalidRequest, "decision_id: must not be empty"),
        (lambda c: c.apply_program(WELCOME.replace("email_a", ""), "me"), InvalidRequest, "actions[0].id"),
        (lambda c: c.apply_program("name: [", "me"), InvalidRequest, "line"),
        (lambda c: c.apply_program(WELCOME, ""), InvalidRequest, "author: must not be empty"),
        (lambda c: c.get_program("welcom"), NotFound, "welcom"),
        (lambda c: c.get_program("welcome", 9), NotFound, "versions are 1 to 1"),
    ],
)
def test_errors_arrive_as_they_were_raised(
    client: DecisionClient, call: Callable[[DecisionClient], object], kind: type[NbaError], text: str
) -> None:
    """The client raises core errors that name the field or the thing, and the fix."""
    with pytest.raises(kind) as caught:
        call(client)
    assert text in str(caught.value)


def test_very_many_violations_still_arrive(server: Server) -> None:
    """A plain client, with gRPC's default metadata limit, gets INVALID_ARGUMENT and not an error about metadata."""
    with grpc.insecure_channel(server.address) as channel:
        stub = decision_service_pb2_grpc.DecisionServiceStub(channel)
        outcomes = [{"customer_id": "c"} for _ in range(1_000)]
        with pytest.raises(grpc.RpcError) as caught:
            stub.RecordOutcomes(pb.RecordOutcomesRequest(outcomes=outcomes))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "more; correct these first" in str(rpc_status.from_call(caught.value))


def test_programs_are_published_and_rolled_back(client: DecisionClient) -> None:
    """Publishing makes a version, a rollback makes another; each is audited."""
    first, second = WELCOME.replace("welcome", "winback"), WELCOME.replace("welcome", "winback").replace("1h", "2h")
    assert client.apply_program(first, "ada", "first") == ("winback", 1)
    assert client.apply_program(second, "bob") == ("winback", 2)
    assert client.rollback_program("winback", 1, "ada", "as it was") == 3
    program, history = client.get_program("winback")
    assert program.document == client.get_program("winback", 1)[0].document
    assert json.loads(program.document)["name"] == "winback"
    assert [(p.version, p.audit.author, p.audit.note) for p in history] == [
        (1, "ada", "first"),
        (2, "bob", ""),
        (3, "ada", "as it was"),
    ]
    assert client.get_program("winback", 2)[0].audit.author == "bob"
    assert [(p.name, p.version, p.actions) for p in client.list_programs()] == [("welcome", 1, 3), ("winback", 3, 3)]


def test_the_contact_policy_is_published(client: DecisionClient) -> None:
    """It acts on the next decision, whose record names its version."""
    assert client.apply_contact_policy("consent: {features: {email: email_consent}, default: deny}", "ada") == 1
    answer = client.decide(request())
    assert answer.policy_version == 1
    assert ("email_a", Reason.NO_CONSENT) in {(e.action, e.reason) for e in answer.exclusions}


def test_all_mistakes_of_a_document_arrive_at_once(client: DecisionClient) -> None:
    """A program with several mistakes is refused with each of them at its path, and nothing is published."""
    document = WELCOME.replace("limit: 3", "limit: 0").replace("channel: push", "chanel: push").replace("1h", "soon")
    with pytest.raises(InvalidRequest) as caught:
        client.apply_program(document, "ada")
    paths = {violation.field.split(" ")[0] for violation in caught.value.violations}
    assert paths >= {"caps[0].limit", "actions[1].chanel", "reward.window"}
    assert [p.version for p in client.list_programs()] == [1]


def test_a_suppression_acts_at_once(client: DecisionClient) -> None:
    """Suppressed on all channels, a customer is not contacted; lifted, they may be."""
    client.suppress("c", note="asked by phone")
    answer = client.decide(request())
    assert not answer.is_contact
    assert {e.reason for e in answer.exclusions} >= {Reason.SUPPRESSED}
    assert client.unsuppress("c")
    assert not client.unsuppress("c")
    assert Reason.SUPPRESSED not in {e.reason for e in client.decide(request(2)).exclusions}
    client.suppress("c", "email", until_ms=NOW_MS + 1_000)
    assert {(e.action, e.reason) for e in client.decide(request(3)).exclusions} >= {("email_a", Reason.SUPPRESSED)}


def test_what_is_not_built_is_unimplemented(server: Server) -> None:
    """What is declared, but not offered by this version, says so with UNIMPLEMENTED."""
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        admin_service_pb2_grpc.AdminServiceStub(channel).ForgetCustomer(admin_pb.ForgetCustomerRequest(customer_id="c"))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_unexpected_errors_do_not_leak(client: DecisionClient, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets INTERNAL without the text; the server's log has it."""
    gate.failure = RuntimeError("password=hunter2")
    with pytest.raises(NbaError) as caught:
        client.decide(request())
    assert "hunter2" not in str(caught.value)
    assert "hunter2" in caplog.text


def test_health_and_reflection_are_on(server: Server) -> None:
    """Both services are healthy and described, so that probes and grpcurl work."""
    with grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "nba.v1.DecisionService", "nba.v1.AdminService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        (listed,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]))
    names = {service.name for service in listed.list_services_response.service}
    assert names >= {"nba.v1.DecisionService", "nba.v1.AdminService", "grpc.health.v1.Health"}


def test_a_stopping_server_finishes_what_it_began(service: Services, gate: Gate) -> None:
    """It says NOT_SERVING, refuses new calls, answers the one in flight, and is gone long before its grace ends."""
    server = Server(service, "127.0.0.1:0")
    server.start()
    with (
        DecisionClient(server.address, channels=1, retries=0) as client,
        grpc.insecure_channel(server.address) as watching,
        ThreadPoolExecutor(2) as pool,
    ):
        client.wait_ready(10)
        updates = health_pb2_grpc.HealthStub(watching).Watch(health_pb2.HealthCheckRequest())
        assert next(updates).status == health_pb2.HealthCheckResponse.SERVING
        gate.opened.clear()
        in_flight = pool.submit(client.decide, request(), deadline_ms=20_000)
        while not gate.reads:
            threading.Event().wait(0.001)
        start = time.monotonic()
        stopping = pool.submit(server.stop, 60.0)
        assert [update.status for update in updates] == [health_pb2.HealthCheckResponse.NOT_SERVING]
        with DecisionClient(server.address, channels=1, retries=0) as late, pytest.raises(Unavailable):
            late.decide(request(2), deadline_ms=500)
        gate.opened.set()
        assert in_flight.result().request_id == "r1"
        stopping.result(30)
        assert time.monotonic() - start < 30


def test_an_expired_call_is_not_begun(service: Services, gate: Gate) -> None:
    """A call whose deadline passed while it waited for a thread is not worked on."""
    with (
        Server(service, "127.0.0.1:0", threads=1) as server,
        DecisionClient(server.address, channels=1) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        client.wait_ready(10)
        gate.opened.clear()
        first = pool.submit(client.decide, request(), deadline_ms=20_000)
        while not gate.reads:
            threading.Event().wait(0.001)
        with pytest.raises(Unavailable, match="no answer within 100 ms"):
            client.decide(request(2), deadline_ms=100)
        gate.opened.set()
        assert first.result().request_id == "r1"
        client.decide(request(3), deadline_ms=20_000)
        counts = server.counts.snapshot()
    assert gate.reads == 2
    assert counts["/nba.v1.DecisionService/Decide", "OK"] == 2


def test_a_request_is_as_old_as_its_arrival(service: Services, gate: Gate) -> None:
    """The features' deadline of a call that waited for a thread began at the door; in a batch, with each one's turn."""
    gate.opened.clear()
    with Server(service, "127.0.0.1:0", threads=1) as server, DecisionClient(server.address, retries=0) as client:
        client.wait_ready(10)
        with ThreadPoolExecutor(2) as callers:
            asked = [callers.submit(client.decide, DecideRequest(f"r{i}", "c", ("welcome",))) for i in range(2)]
            while gate.reads < 1 or server._pool.inflight < 2:
                threading.Event().wait(0.001)
            opened_s = time.monotonic()
            gate.opened.set()
            for call in asked:
                call.result(10)
        first_s, second_s = gate.arrived_s
        assert first_s is not None
        assert second_s is not None
        assert max(first_s, second_s) < opened_s
        client.decide_batch([DecideRequest(f"b{i}", "c", ("welcome",)) for i in range(2)])
        assert gate.arrived_s[2:] == [None, None]


def test_load_is_shed_at_the_door(service: Services, gate: Gate) -> None:
    """Beyond `max_inflight`, calls are refused at once with a hint when to return; probes still see a live server."""
    with (
        Server(service, "127.0.0.1:0", threads=3, max_inflight=2) as server,
        DecisionClient(server.address, channels=1, retries=1, backoff_ms=1) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        client.wait_ready(10)
        gate.opened.clear()
        held = [pool.submit(client.decide, request(i), deadline_ms=20_000) for i in range(2)]
        while gate.reads < 2:
            threading.Event().wait(0.001)
        with pytest.raises(Overloaded, match="2 calls are in flight"):
            client.decide(request(9), deadline_ms=20_000)
        with grpc.insecure_channel(server.address) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                decision_service_pb2_grpc.DecisionServiceStub(channel).Decide(pb.DecideRequest())
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        gate.opened.set()
        assert [call.result().request_id for call in held] == ["r0", "r1"]
        assert client.decide(request(9)).request_id == "r9"
        counts = server.counts.snapshot()
    details = rpc_status.from_call(caught.value)
    assert details.code == code_pb2.RESOURCE_EXHAUSTED
    assert any(detail.Is(RetryInfo.DESCRIPTOR) for detail in details.details)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert counts["/nba.v1.DecisionService/Decide", "RESOURCE_EXHAUSTED"] == 3


def test_concurrent_clients_keep_the_cap(client: DecisionClient, server: Server) -> None:
    """Eight callers decide for the same five customers: nobody gets more contacts than the program's cap of 3."""

    def call(caller: int) -> list[tuple[str, bool]]:
        with DecisionClient(server.address, channels=1, deadline_ms=30_000) as own:
            return [(f"c{n % 5}", own.decide(request(caller * 1_000 + n, f"c{n % 5}")).is_contact) for n in range(40)]

    with ThreadPoolExecutor(8) as pool:
        answers = [answer for answers in pool.map(call, range(8)) for answer in answers]
    contacts = {customer: sum(c for name, c in answers if name == customer) for customer in {a[0] for a in answers}}
    assert len(answers) == 320
    assert contacts == {f"c{i}": 3 for i in range(5)}


def test_two_servers_share_a_port(server: Server, service: Services) -> None:
    """Workers listen on one port; a client whose channels spread over them is answered by each."""
    with Server(service, server.address) as other, DecisionClient(server.address, channels=24) as client:
        client.wait_ready(10)
        for number in range(48):
            client.decide(request(number, f"c{number}"))
        counts = [s.counts.snapshot()["/nba.v1.DecisionService/Decide", "OK"] for s in (server, other)]
    assert sum(counts) == 48
    assert min(counts) > 0


def test_an_address_that_cannot_be_bound_is_named(service: Services, clock: ManualClock) -> None:
    """Starting on another machine's address fails with the address and what to check."""
    with pytest.raises(Unavailable, match=r"cannot listen on 203\.0\.113\.1:1"):
        Server(service, "203.0.113.1:1")


def test_values_of_every_type_reach_the_record(client: DecisionClient) -> None:
    """Context values arrive in the record with their types."""
    context = {"b": True, "i": 1, "f": 1.5, "s": "é", "t": ("x", "y"), "m": None}
    record = client.get_decision(client.decide(DecideRequest("r", "c", ("welcome",), context)).decision_id)
    assert record.request.context == context
    assert record_messages.record_from_pb(record_messages.record_to_pb(record)) == record
