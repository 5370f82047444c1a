"""The three faces of the product over one set of ports: deciding, inquiring, administering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from decision_service.administration import Administration
from decision_service.core.eligibility import Rules
from decision_service.inquiry import Inquiry
from decision_service.ports import Budgets, Catalogue, Clock, FeatureSource, Ledger, PolicyStore
from decision_service.service import DecisionService


@dataclass(frozen=True, slots=True)
class Services:
    """What a worker serves; thread-safe."""

    decisions: DecisionService
    inquiry: Inquiry
    administration: Administration

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
        entropy: Callable[[], float],
        accepting: Callable[[], bool] = lambda: True,
    ) -> Services:
        """All of them over the same ports; `DecisionService` says what the arguments are."""
        return cls(
            DecisionService(
                policies=policies,
                features=features,
                ledger=ledger,
                budgets=budgets,
                catalogue=catalogue,
                rules=rules,
                clock=clock,
                entropy=entropy,
                accepting=accepting,
            ),
            Inquiry(policies=policies, ledger=ledger, catalogue=catalogue, rules=rules, clock=clock),
            Administration(policies=policies, ledger=ledger, catalogue=catalogue, features=features, clock=clock),
        )
