# ruff: noqa: N802, ARG002 - method names and signatures are gRPC's
"""The API's methods: convert, call the service, convert back. Errors pass through to `interceptors`."""

from __future__ import annotations

from typing import Never, TypeAlias

import grpc

from decision_service.application.services import Services
from decision_service.contract import record_messages
from decision_service.contract.pb import admin_service_pb2 as admin_pb
from decision_service.contract.pb import admin_service_pb2_grpc, decision_service_pb2_grpc
from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.core.model.errors import NotBuilt
from decision_service.rpc import admin_requests, answers, requests, status
from decision_service.rpc.interceptors import arrived_s

Context: TypeAlias = grpc.ServicerContext

MAX_SIMULATION_S = 900.0
"""Longest that a call waits for its simulation."""


class DecisionServicer(decision_service_pb2_grpc.DecisionServiceServicer):
    """What journey runners call."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def Decide(self, request: pb.DecideRequest, context: Context) -> pb.DecideResponse:
        """Which message on which channel, or nothing."""
        return self._decide(request, arrived_s())

    def _decide(self, request: pb.DecideRequest, arrived_s: float | None) -> pb.DecideResponse:
        return answers.decide_response(self._services.decisions.decide(requests.decide_request(request), arrived_s))

    def DecideBatch(self, request: pb.DecideBatchRequest, context: Context) -> pb.DecideBatchResponse:
        """Each request on its own: an error in one is its result and does not touch the others, and each has a time of
        its own for its features, from when it is its turn."""
        answer = pb.DecideBatchResponse()
        for one in requests.batch(request):
            if not context.is_active():
                break  # nobody will read the rest
            result = answer.results.add()
            try:
                result.response.CopyFrom(self._decide(one, None))
            except Exception as error:  # noqa: BLE001 - as for a call of its own
                canonical = status.to_status(error)
                result.error.code, result.error.message = canonical.code, canonical.message
                result.error.details.extend(canonical.details)
        return answer

    def ReportActivation(self, request: pb.ReportActivationRequest, context: Context) -> pb.ReportActivationResponse:
        """What became of a decision: confirm or release its reservation."""
        report = requests.activation_report(request)
        result = self._services.feedback.report_activation(
            report.decision_id, report.status, report.at_ms, report.detail
        )
        return answers.report_activation_response(result)

    def ConfirmSend(self, request: pb.ConfirmSendRequest, context: Context) -> pb.ConfirmSendResponse:
        """May a decided contact be sent, now?"""
        return answers.confirm_send_response(self._services.sending.confirm(requests.decision_id(request)))

    def RecordOutcomes(self, request: pb.RecordOutcomesRequest, context: Context) -> pb.RecordOutcomesResponse:
        """Log outcomes."""
        receipt = self._services.feedback.record_outcomes(requests.outcomes(request))
        return pb.RecordOutcomesResponse(
            recorded=receipt.recorded,
            duplicates=receipt.duplicates,
            refused=answers.refused(receipt),
            historic=receipt.historic,
        )

    def RecordEvents(self, request: pb.RecordEventsRequest, context: Context) -> pb.RecordEventsResponse:
        """Log behavioural events."""
        receipt = self._services.feedback.record_events(requests.events(request))
        return pb.RecordEventsResponse(
            recorded=receipt.recorded,
            duplicates=receipt.duplicates,
            refused=answers.refused(receipt),
            historic=receipt.historic,
        )

    def GetDecision(self, request: pb.GetDecisionRequest, context: Context) -> pb.GetDecisionResponse:
        """The decision record."""
        answer = pb.GetDecisionResponse()
        record_messages.fill_record(answer.record, self._services.inquiry.get_decision(requests.decision_id(request)))
        return answer

    def ExplainDecision(self, request: pb.ExplainDecisionRequest, context: Context) -> pb.ExplainDecisionResponse:
        """Why it was decided so."""
        answer = pb.ExplainDecisionResponse()
        answers.fill_explanation(answer, self._services.inquiry.explain(requests.decision_id(request)))
        return answer

    def ReplayDecision(self, request: pb.ReplayDecisionRequest, context: Context) -> pb.ReplayDecisionResponse:
        """Recompute it and compare."""
        result = self._services.inquiry.replay(requests.decision_id(request))
        return pb.ReplayDecisionResponse(identical=result.identical, differences=result.differences)

    def GetCustomer(self, request: pb.GetCustomerRequest, context: Context) -> pb.GetCustomerResponse:
        """What is known of a customer."""
        return answers.get_customer_response(self._services.inquiry.customer(requests.customer_id(request)))


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """What marketers and operators change."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def ApplyProgram(self, request: admin_pb.ApplyProgramRequest, context: Context) -> admin_pb.ApplyProgramResponse:
        """Publish a program."""
        admin_requests.publication(request)
        published = self._services.administration.apply_program(
            request.document, request.author, request.note, request.validate_only
        )
        return admin_pb.ApplyProgramResponse(name=published.name, version=published.version)

    def ListPrograms(self, request: admin_pb.ListProgramsRequest, context: Context) -> admin_pb.ListProgramsResponse:
        """Every published program."""
        return admin_pb.ListProgramsResponse(
            programs=map(answers.program_summary, self._services.administration.list_programs())
        )

    def GetProgram(self, request: admin_pb.GetProgramRequest, context: Context) -> admin_pb.GetProgramResponse:
        """A version of a program, with its history."""
        admin_requests.program_version(request)
        return answers.get_program_response(*self._services.administration.get_program(request.name, request.version))

    def SetProgramState(
        self, request: admin_pb.SetProgramStateRequest, context: Context
    ) -> admin_pb.SetProgramStateResponse:
        """Pause, resume or unpublish a program."""
        state = admin_requests.program_state(request)
        published = self._services.administration.set_program_state(request.name, state, request.author, request.note)
        return admin_pb.SetProgramStateResponse(version=published.version)

    def RollbackProgram(
        self, request: admin_pb.RollbackProgramRequest, context: Context
    ) -> admin_pb.RollbackProgramResponse:
        """Publish an earlier version again."""
        admin_requests.rollback(request)
        published = self._services.administration.rollback_program(
            request.name, request.version, request.author, request.note
        )
        return admin_pb.RollbackProgramResponse(version=published.version)

    def SimulateProgram(
        self, request: admin_pb.SimulateProgramRequest, context: Context
    ) -> admin_pb.SimulateProgramResponse:
        """Replay logged decisions through a proposed program, within the caller's deadline."""
        admin_requests.simulation(request)
        remaining_s = context.time_remaining()
        timeout_s = MAX_SIMULATION_S if remaining_s is None else min(max(remaining_s - 0.1, 0.0), MAX_SIMULATION_S)
        report = self._services.simulations.run(
            request.document, request.contact_policy_document, request.from_ms, request.until_ms, timeout_s
        )
        return admin_pb.SimulateProgramResponse(report_json=report)

    def ApplyContactPolicy(
        self, request: admin_pb.ApplyContactPolicyRequest, context: Context
    ) -> admin_pb.ApplyContactPolicyResponse:
        """Publish the contact policy."""
        admin_requests.publication(request)
        version = self._services.administration.apply_contact_policy(
            request.document, request.author, request.note, request.validate_only
        )
        return admin_pb.ApplyContactPolicyResponse(version=version)

    def GetContactPolicy(
        self, request: admin_pb.GetContactPolicyRequest, context: Context
    ) -> admin_pb.GetContactPolicyResponse:
        """A version of the contact policy, with its history."""
        version = admin_requests.contact_policy_version(request)
        return answers.get_contact_policy_response(*self._services.administration.get_contact_policy(version))

    def RollbackContactPolicy(
        self, request: admin_pb.RollbackContactPolicyRequest, context: Context
    ) -> admin_pb.RollbackContactPolicyResponse:
        """Publish an earlier version again."""
        admin_requests.rollback(request)
        published = self._services.administration.rollback_contact_policy(request.version, request.author, request.note)
        return admin_pb.RollbackContactPolicyResponse(version=published.version)

    def Suppress(self, request: admin_pb.SuppressRequest, context: Context) -> admin_pb.SuppressResponse:
        """Stop contacts on a channel, or on all."""
        one = admin_requests.suppression(request)
        self._services.administration.suppress(one.customer_id, one.channel, one.until_ms, one.note, one.author)
        return admin_pb.SuppressResponse()

    def SuppressBatch(self, request: admin_pb.SuppressBatchRequest, context: Context) -> admin_pb.SuppressBatchResponse:
        """Stop contacts of many customers."""
        applied = self._services.administration.suppress_batch(admin_requests.suppressions(request))
        return admin_pb.SuppressBatchResponse(applied=applied)

    def Unsuppress(self, request: admin_pb.UnsuppressRequest, context: Context) -> admin_pb.UnsuppressResponse:
        """Allow contacts again."""
        admin_requests.lifting(request)
        return admin_pb.UnsuppressResponse(
            lifted=self._services.administration.unsuppress(
                request.customer_id, request.channel, request.author, request.note
            )
        )

    def ForgetCustomer(self, request: admin_pb.ForgetCustomerRequest, context: Context) -> Never:
        """Not offered yet."""
        raise NotBuilt("ForgetCustomer is not offered by this version")
