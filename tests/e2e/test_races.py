"""Law 3: no cap exceeded, nothing acknowledged missing, nothing twice, whoever races and whatever is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from decision_service.operation.sandbox import Sandbox
from decision_service.operation.settings import Settings
from tests.e2e import races

DECIDES, CLIENTS, CUSTOMERS = 20_000, 8, 50
SENT = "SELECT count(*) AS messages FROM activations WHERE status = 'SENT'"


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["nothing", "worker and loader"])
def test_caps_and_log_hold(tmp_path: Path, killed: str) -> None:
    """8 clients, 50 customers, 20,000 Decides, two workers; then with a worker and the loader killed midway."""
    with Sandbox(Settings(workers=2), tmp_path, races.START_MS) as sandbox:
        races.prepare(sandbox, CUSTOMERS)

        def kill() -> None:
            if killed != "nothing":
                sandbox.stack.kill("worker-0")
                sandbox.stack.kill("loader")
                races.wait_for_restart(sandbox, 1)

        race = races.run(sandbox, decides=DECIDES, clients=CLIENTS, customers=CUSTOMERS, midway=kill)
        sandbox.drain()
        found = sandbox.audit(race.acknowledged)
        [sent] = sandbox.warehouse.query(SENT).to_pylist()
        assert race.late == 0
        assert (found.violations, found.first) == (0, [])
        assert found.section("missing").checked == len(race.acknowledged)
        assert race.failed < DECIDES // 100
        # The caps were really contested: customers are near their daily limit of 8.
        assert CUSTOMERS * 5 <= sent["messages"] <= CUSTOMERS * 9
        assert sandbox.stack.restarts() == (0 if killed == "nothing" else 2)
