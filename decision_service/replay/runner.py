"""The journey runner of a replay: it asks the service about customers of an experiment, and reports what came of it.

A decision is logged, and learned from, whatever becomes of it. So the runner must not ask for one whose outcome the
experiment cannot tell. It asks for a dry run first, which logs nothing and tells the distribution. If the row is kept,
it asks for the decision, under a request id whose draw is the action that the experiment drew: draws are a function of
the request, and the key of a sandbox's is known.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from decision_service.client import Answer, DecisionClient
from decision_service.core.choice.draw import Draw
from decision_service.core.choice.sampling import draw_index
from decision_service.core.model.errors import NbaError
from decision_service.core.model.record import ActivationStatus, DecideRequest, Option, Outcome
from decision_service.core.model.values import NO_ACTION
from decision_service.replay.presentation import Presented


@dataclass(frozen=True, slots=True)
class Kept:
    """A row that becomes a decision, and the request that draws its action."""

    row: Presented
    request: DecideRequest


def request_drawing(action: str, options: Sequence[Option], dry: DecideRequest, draw: Draw) -> DecideRequest:
    """The dry run's question under a request id by which `action` is drawn; its probability must be above 0.

    As many ids are tried as it takes, 1 / P(action) on average.
    """
    probabilities = np.array([option.probability for option in options])
    for number in itertools.count():
        request = replace(dry, request_id=f"row-{number}", dry_run=False)
        if options[draw_index(probabilities, draw(request))].action == action:
            return request
    raise AssertionError("ids are endless")


@dataclass(frozen=True, slots=True)
class Runner:
    """Thread-safe, as its client is.

    draw: what the installation draws by. outcome: name of the outcome that is optimised; a reward of `default_reward`
    needs no report.
    """

    client: DecisionClient
    program: str
    outcome: str
    default_reward: float
    draw: Draw

    def kept(self, rows: Sequence[Presented], most: float) -> list[Kept]:
        """Those of the rows that become decisions of the service as it is now; see `Presented.is_kept`.

        Raises:
            NbaError: the first that the service answered with.
        """
        dry = [DecideRequest("row", row.customer_id, (self.program,), dry_run=True) for row in rows]
        kept = []
        for row, request, answer in zip(rows, dry, self.client.decide_batch(dry), strict=True):
            if isinstance(answer, NbaError):
                raise answer
            assert answer.explanation is not None, "a dry run is explained"
            options = answer.explanation.record.options
            if row.is_kept({option.action: option.probability for option in options}, most):
                kept.append(Kept(row, request_drawing(row.action, options, request, self.draw)))
        return kept

    def report(self, decided: Sequence[tuple[Presented, Answer]]) -> None:
        """Contacts were sent, and earned what the experiment reveals."""
        outcomes = []
        for row, answer in decided:
            at_ms = answer.decided_at_ms
            if answer.action != NO_ACTION:
                self.client.report_activation(answer.decision_id, ActivationStatus.SENT, at_ms)
            if answer.action == row.action and row.reward != self.default_reward:
                outcomes.append(
                    Outcome(
                        outcome_id="outcome",
                        customer_id=row.customer_id,
                        name=self.outcome,
                        occurred_at_ms=at_ms,
                        received_at_ms=at_ms,
                        value=row.reward,
                        decision_id=answer.decision_id,
                        channel=answer.channel,
                    )
                )
        if outcomes:
            self.client.record_outcomes(outcomes)
