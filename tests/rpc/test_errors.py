"""Every method of the API is there, and whatever goes wrong behind one becomes a canonical code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2

from decision_service.application.services import Services
from decision_service.contract.pb import admin_service_pb2 as admin_pb
from decision_service.contract.pb import admin_service_pb2_grpc, decision_service_pb2_grpc, record_pb2, types_pb2
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.core.model.errors import InvalidDistribution, NotBuilt
from decision_service.rpc.server import Server
from decision_service.rpc.servicer import AdminServicer, DecisionServicer
from tests.rpc.conftest import WELCOME
from tests.rpc.test_status import CASES

NOW_MS = 1_700_000_000_000
NOT_OFFERED = {"ForgetCustomer"}
ASKS_NOTHING = {"ListPrograms", "GetContactPolicy", "DecideBatch", "RecordOutcomes", "RecordEvents", "SuppressBatch"}
"""An empty request to one of these is a valid one."""

DECIDE = pb.DecideRequest(request_id="r", customer_id="c", programs=["welcome"])
SUPPRESS = admin_pb.SuppressRequest(customer_id="c", channel="email")
VALID: dict[str, Message] = {
    "Decide": DECIDE,
    "DecideBatch": pb.DecideBatchRequest(requests=[DECIDE]),
    "ReportActivation": pb.ReportActivationRequest(decision_id="d", status=types_pb2.SENT),
    "ConfirmSend": pb.ConfirmSendRequest(decision_id="d"),
    "RecordOutcomes": pb.RecordOutcomesRequest(
        outcomes=[record_pb2.Outcome(outcome_id="o", customer_id="c", name="visit", occurred_at_ms=NOW_MS)]
    ),
    "RecordEvents": pb.RecordEventsRequest(
        events=[record_pb2.Event(event_id="e", customer_id="c", name="page_view", occurred_at_ms=NOW_MS)]
    ),
    "GetDecision": pb.GetDecisionRequest(decision_id="d"),
    "ExplainDecision": pb.ExplainDecisionRequest(decision_id="d"),
    "ReplayDecision": pb.ReplayDecisionRequest(decision_id="d"),
    "GetCustomer": pb.GetCustomerRequest(customer_id="c"),
    "ApplyProgram": admin_pb.ApplyProgramRequest(document=WELCOME, author="ada"),
    "ListPrograms": admin_pb.ListProgramsRequest(),
    "GetProgram": admin_pb.GetProgramRequest(name="welcome"),
    "SetProgramState": admin_pb.SetProgramStateRequest(name="welcome", state=admin_pb.PROGRAM_PAUSED, author="ada"),
    "RollbackProgram": admin_pb.RollbackProgramRequest(name="welcome", version=1, author="ada"),
    "SimulateProgram": admin_pb.SimulateProgramRequest(document=WELCOME, from_ms=NOW_MS, until_ms=NOW_MS + 1),
    "ApplyContactPolicy": admin_pb.ApplyContactPolicyRequest(document="caps: []", author="ada"),
    "GetContactPolicy": admin_pb.GetContactPolicyRequest(),
    "RollbackContactPolicy": admin_pb.RollbackContactPolicyRequest(version=1, author="ada"),
    "Suppress": SUPPRESS,
    "SuppressBatch": admin_pb.SuppressBatchRequest(suppressions=[SUPPRESS]),
    "Unsuppress": admin_pb.UnsuppressRequest(customer_id="c", channel="email"),
}
SERVICES = [
    (pb.DESCRIPTOR.services_by_name["DecisionService"], decision_service_pb2_grpc.DecisionServiceStub),
    (admin_pb.DESCRIPTOR.services_by_name["AdminService"], admin_service_pb2_grpc.AdminServiceStub),
]
METHODS = [method.name for service, _ in SERVICES for method in service.methods]
OFFERED = [name for name in METHODS if name not in NOT_OFFERED]


class Failing:
    """Any face of the product, each of whose methods raises the error."""

    def __init__(self) -> None:
        self.error: Exception = NotBuilt("set by the test")

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise self.error

        return fail


@pytest.fixture(scope="module")
def failing() -> Failing:
    return Failing()


@pytest.fixture(scope="module")
def stubs(failing: Failing) -> Iterator[dict[str, Any]]:
    """Each method, on a server whose every part fails."""
    parts: Any = failing
    with (
        Server(Services(parts, parts, parts, parts, parts, parts), "127.0.0.1:0") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        yield {m.name: getattr(stub(channel), m.name) for service, stub in SERVICES for m in service.methods}


def test_every_method_of_the_api_is_implemented() -> None:
    """None is inherited from the generated base, which would answer UNIMPLEMENTED; each has a request below."""
    ours = {name for servicer in (DecisionServicer, AdminServicer) for name in vars(servicer)}
    assert set(METHODS) <= ours
    assert set(VALID) == set(OFFERED)


@pytest.mark.parametrize("name", sorted(NOT_OFFERED))
def test_what_is_not_offered_says_so(stubs: dict[str, Any], name: str) -> None:
    """With UNIMPLEMENTED, whatever is asked."""
    with pytest.raises(grpc.RpcError) as caught:
        stubs[name](admin_pb.ForgetCustomerRequest(customer_id="c"))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(("error", "code"), CASES, ids=lambda c: type(c).__name__)
def test_whatever_fails_has_its_canonical_code(
    stubs: dict[str, Any], failing: Failing, error: Exception, code: int
) -> None:
    """Every error of the tree, raised behind every method, arrives as the code that stands for it."""
    failing.error = error
    assert {name: code_of(stubs[name], VALID[name]) for name in OFFERED} == dict.fromkeys(OFFERED, code)


@pytest.mark.parametrize("error", [RuntimeError("hunter2"), InvalidDistribution("hunter2"), KeyError("hunter2")])
def test_what_nobody_expected_is_internal(stubs: dict[str, Any], failing: Failing, error: Exception) -> None:
    """Behind every method, and without its text."""
    failing.error = error
    for name in OFFERED:
        if name != "DecideBatch":
            with pytest.raises(grpc.RpcError) as caught:
                stubs[name](VALID[name])
            assert caught.value.code() is grpc.StatusCode.INTERNAL
            assert "hunter2" not in caught.value.details()
    assert code_of(stubs["DecideBatch"], VALID["DecideBatch"]) == code_pb2.INTERNAL


@pytest.mark.parametrize("name", OFFERED)
def test_an_empty_request_is_refused_before_anything_runs(stubs: dict[str, Any], failing: Failing, name: str) -> None:
    """With INVALID_ARGUMENT, unless an empty one says all there is to say."""
    failing.error = NotBuilt("the service was asked")
    empty = type(VALID[name])()
    if name in ASKS_NOTHING:
        assert code_of(stubs[name], empty) in {code_pb2.OK, code_pb2.UNIMPLEMENTED}
    else:
        assert code_of(stubs[name], empty) == code_pb2.INVALID_ARGUMENT


def code_of(method: Any, request: Message) -> int:
    """The code of a call; of a batch, that of its first result."""
    try:
        answer = method(request)
    except grpc.RpcError as error:
        return int(error.code().value[0])
    if isinstance(answer, pb.DecideBatchResponse) and answer.results:
        return answer.results[0].error.code
    return code_pb2.OK
