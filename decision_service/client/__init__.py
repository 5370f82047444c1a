"""The Python client: core types in and out, deadlines by default, retries where they are safe, core errors.

    with DecisionClient("127.0.0.1:50051") as client:
        client.wait_ready(10)
        answer = client.decide(DecideRequest("step-3:c-17", "c-17", ("welcome",), {"page": "home"}))
        answer = await client.run(client.decide, request)  # the same from asyncio

Every method raises what the service raised: InvalidRequest with its violations, NotFound, Conflict, Unavailable,
Overloaded, NotBuilt. It is thread-safe; make one per process.

Imports the core, the application's types, `contract` and `rpc.status`. Begin with `methods`.
"""

from decision_service.client.answers import Answer, Excluded
from decision_service.client.methods import DecisionClient

__all__ = ["Answer", "DecisionClient", "Excluded"]
