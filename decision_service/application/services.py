"""The faces of the product over one set of ports: deciding, hearing what became of it, inquiring, administering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from decision_service.application.administration import Administration
from decision_service.application.admission import Admission
from decision_service.application.decisions import DecisionService
from decision_service.application.feedback import Feedback
from decision_service.application.inquiry import Inquiry
from decision_service.application.policy_store import PolicyStore
from decision_service.application.ports import Budgets, Catalogue, Clock, FeatureSource, Ledger, Simulations
from decision_service.application.sending import Sending
from decision_service.core.choice.draw import Draw
from decision_service.core.guardrails.eligibility import Rules
from decision_service.simulation.proposal import CheckedSimulations

RETENTION_S = 7 * 86_400
"""How long a ledger answers for a request, decision or fact, by default; seconds."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a worker serves; thread-safe."""

    decisions: DecisionService
    feedback: Feedback
    sending: Sending
    inquiry: Inquiry
    administration: Administration
    simulations: Simulations

    @classmethod
    def over(
        cls,
        *,
        policies: PolicyStore,
        features: FeatureSource,
        ledger: Ledger,
        budgets: Budgets,
        catalogue: Catalogue,
        rules: Rules,
        clock: Clock,
        draw: Draw,
        admission: Admission | None = None,
        accepting: Callable[[], bool] = lambda: True,
        observe: Callable[[bool], None] = lambda _: None,
        simulator: Simulations | None = None,
        retention_s: int = RETENTION_S,
    ) -> Services:
        """All of them over the same ports; `DecisionService` says what the arguments are.

        admission: None lets everything through.
        """
        administration = Administration(
            policies=policies,
            ledger=ledger,
            budgets=budgets,
            catalogue=catalogue,
            features=features,
            clock=clock,
            check_publishing=admission.check_publishing if admission else lambda: None,
        )
        inquiry = Inquiry(policies=policies, ledger=ledger, catalogue=catalogue, rules=rules, clock=clock)
        admit = admission.admit if admission else lambda _read, _before_ms: None
        return cls(
            DecisionService(
                policies=policies,
                features=features,
                ledger=ledger,
                budgets=budgets,
                catalogue=catalogue,
                rules=rules,
                clock=clock,
                draw=draw,
                admit=admit,
                accepting=accepting,
                observe=observe,
                explain=inquiry.explain_record,
            ),
            Feedback(policies=policies, ledger=ledger, budgets=budgets, clock=clock, retention_s=retention_s),
            Sending(
                policies=policies,
                features=features,
                ledger=ledger,
                budgets=budgets,
                rules=rules,
                clock=clock,
                admit=admit,
            ),
            inquiry,
            administration,
            CheckedSimulations(simulator, administration.surroundings),
        )
