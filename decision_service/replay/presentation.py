"""Which rows become decisions: rejection sampling, from the experiment's probabilities to those of the service. Pure.

The experiment has drawn its arms already; the service wants to draw from a distribution of its own. A row is therefore
kept with a probability in proportion to P(the service chooses its arm) / P(the experiment gave it), and what is kept is
distributed as if the service had drawn: exactly, whatever the experiment's probabilities were, and also for a policy
that learns from what was kept before (Dudík, Erhan, Langford & Li, *Sample-efficient nonstationary policy evaluation
for contextual bandits*, UAI 2012; rejection sampling is von Neumann's, 1951). Keeping the rows where the service's own
draw happens to be the arm, as Li, Chu, Langford & Wang do (WSDM 2011), is right for arms that were equally likely only,
and keeps fewer.

It is done in two steps, for the second needs the service's answer: `present` makes arms equally likely, and
`Presented.is_kept` makes them as likely as the service has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from decision_service.core.model.values import NO_ACTION
from decision_service.replay.experiment import LoggedExperiment, LoggedRow

_STREAM = 1
"""Of the seed's random numbers; the order of rows takes another."""

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Presented:
    """A customer of the experiment whom the service is asked about, and the one action whose reward is known.

    Over presented rows every action that the service may choose is equally likely, whatever the customer is like.
    draw: uniform in [0, 1), and of nothing else.
    """

    customer_id: str
    action: str
    reward: float
    draw: float

    def is_kept(self, options: Mapping[str, float], most: float) -> bool:
        """Whether the row becomes a decision: with probability P(its action) / `most`.

        options: action → P(the service chooses it) for this customer. most: the same number for all rows that the same
        model serves, so that rows are kept at one rate whatever the customer is like, and no less than any probability
        that the model may give: a customer for whom there is a larger one, because features could not be read, say, is
        left out whatever the row's action.
        """
        if max(options.values()) > most + _TOLERANCE:
            return False
        return self.draw * most < options.get(self.action, 0.0)


def present(experiment: LoggedExperiment, seed: int) -> tuple[Presented | None, ...]:
    """Each row as it is presented, in the order of the rows; None for those that are rejected.

    A row of arm a with features x is presented with probability c / P(a | x), where c is the experiment's least
    probability: P(arm is a and presented | x) = c, for every a and x. Where no arm is NO_ACTION, which the service may
    choose nevertheless, one presented row in (number of arms + 1) is turned into a row of NO_ACTION.
    """
    presents, turns, draws = np.random.default_rng([seed, _STREAM]).random((3, len(experiment.rows))).tolist()
    turned = 0.0 if experiment.no_action_value is None else 1 / (len(experiment.arms) + 1)
    return tuple(
        _presented(experiment, row, turn < turned, draw) if u * row.probability < experiment.least_probability else None
        for row, u, turn, draw in zip(experiment.rows, presents, turns, draws, strict=True)
    )


def _presented(experiment: LoggedExperiment, row: LoggedRow, is_turned: bool, draw: float) -> Presented:
    if is_turned and experiment.no_action_value is not None:
        return Presented(row.customer_id, NO_ACTION, experiment.no_action_value, draw)
    return Presented(row.customer_id, row.arm, experiment.reward_of(row), draw)
