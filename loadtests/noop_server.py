"""The floor that Decide is compared with: a gRPC server of the same kind and messages that does nothing.

`python -m loadtests.noop_server ADDRESS RESPONSE_FILE` answers every Decide with the message in the file. Thread
pool, options and generated (de)serialisers are those of the product's server; there is no conversion, no guard, no
service. It ends with its standard input, so it cannot outlive the benchmark.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from decision_service.contract.pb import decision_service_pb2 as pb
from decision_service.contract.pb import decision_service_pb2_grpc
from decision_service.operation.settings import Settings
from decision_service.rpc.server import OPTIONS


class Noop(decision_service_pb2_grpc.DecisionServiceServicer):
    """Answers with one message."""

    def __init__(self, response: pb.DecideResponse) -> None:
        self._response = response

    def Decide(self, request: pb.DecideRequest, context: grpc.ServicerContext) -> pb.DecideResponse:  # noqa: ARG002, N802 - gRPC's
        """The message of the file."""
        return self._response


def main(address: str, response_file: str) -> None:
    """Serve until standard input ends."""
    threads = Settings.model_fields["threads"].default
    server = grpc.server(ThreadPoolExecutor(threads), options=OPTIONS)
    response = pb.DecideResponse.FromString(Path(response_file).read_bytes())
    decision_service_pb2_grpc.add_DecisionServiceServicer_to_server(Noop(response), server)
    server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop(0).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
