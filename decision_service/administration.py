"""What marketers and operators change: programs, the contact policy, suppressions. Every change is audited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from decision_service.core.customer import Suppression
from decision_service.core.errors import InvalidRequest, NotFound
from decision_service.core.program import LearningMode
from decision_service.core.reasons import Reason
from decision_service.ports import Audit, Catalogue, Clock, FeatureSource, Ledger, PolicyStore, ProgramVersion


@dataclass(frozen=True, slots=True)
class ProgramSummary:
    """A line of the list of programs."""

    name: str
    version: int
    description: str
    learning_mode: LearningMode
    actions: int
    model: str


class Administration:
    """Thread-safe: all state is in the adapters."""

    def __init__(
        self,
        *,
        policies: PolicyStore,
        ledger: Ledger,
        catalogue: Catalogue,
        features: FeatureSource,
        clock: Clock,
    ) -> None:
        self._policies, self._ledger, self._catalogue = policies, ledger, catalogue
        self._features, self._clock = features, clock

    def apply_program(self, document: str, author: str, note: str = "") -> ProgramVersion:
        """Publish a program; see `PolicyStore.publish_program`."""
        return self._policies.publish_program(document, self._audit(author, note))

    def list_programs(self) -> Sequence[ProgramSummary]:
        """Every published program, by name."""
        models = self._catalogue.status()
        return [
            ProgramSummary(
                p.name, p.version, p.description, p.learning_mode, len(p.actions), models.get(p.name, "none")
            )
            for _, p in sorted(self._policies.current().programs.items())
        ]

    def get_program(self, name: str, version: int = 0) -> tuple[ProgramVersion, Sequence[ProgramVersion]]:
        """A version of a program (the latest if 0), and its whole history.

        Raises:
            NotFound: no such program or version.
        """
        history = self._policies.versions(name)
        if version == 0:
            return history[-1], history
        for published in history:
            if published.version == version:
                return published, history
        raise NotFound("program version", f"{name} {version}", f"versions are 1 to {history[-1].version}")

    def rollback_program(self, name: str, version: int, author: str, note: str = "") -> ProgramVersion:
        """Publish an earlier version's document as the next version."""
        return self._policies.rollback_program(name, version, self._audit(author, note))

    def apply_contact_policy(self, document: str, author: str, note: str = "") -> int:
        """Publish the contact policy; its version."""
        return self._policies.publish_policy(document, self._audit(author, note))

    def suppress(self, customer_id: str, channel: str, until_ms: int | None, note: str = "") -> None:
        """Stop contacts on a channel (`*` for all) at once, until a time or for good."""
        suppression = Suppression(channel, Reason.SUPPRESSED, self._clock.now_ms(), until_ms, note)
        self._ledger.suppress(customer_id, suppression)

    def unsuppress(self, customer_id: str, channel: str) -> bool:
        """Lift the suppressions of a channel; False if there were none."""
        return self._ledger.unsuppress(customer_id, channel)

    def _audit(self, author: str, note: str) -> Audit:
        if not author:
            raise InvalidRequest.of("author", "is empty; say who publishes, for the audit")
        return Audit(author, self._clock.now_ms(), note)
