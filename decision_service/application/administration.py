"""What marketers and operators change: programs, the contact policy, suppressions. Every change is audited."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from decision_service.application.feedback import MAX_ATTEMPTS, release_stopped
from decision_service.application.policy_store import Audit, PolicyStore, PolicyVersion, ProgramVersion
from decision_service.application.ports import Budgets, Catalogue, Clock, FeatureSource, Ledger
from decision_service.core.guardrails.effects import lifting, suppressing
from decision_service.core.model.customer import CustomerState, Suppression
from decision_service.core.model.errors import InvalidRequest, NotFound, Overloaded, Unavailable, Violation
from decision_service.core.model.program import LearningMode, ProgramState
from decision_service.core.model.reasons import Reason
from decision_service.core.model.sending import Change
from decision_service.documents import Surroundings, keeping_pause, normalise, parse_contact_policy, parse_program


@dataclass(frozen=True, slots=True)
class ProgramSummary:
    """A line of the list of programs."""

    name: str
    version: int
    description: str
    learning_mode: LearningMode
    actions: int
    model: str
    state: ProgramState = ProgramState.LIVE


@dataclass(frozen=True, slots=True)
class CustomerSuppression:
    """Whom not to contact: on `channel` (`*` for all), until `until_ms`, UTC epoch milliseconds, or for good."""

    customer_id: str
    channel: str
    until_ms: int | None = None
    note: str = ""
    author: str = ""


class Administration:
    """Thread-safe: all state is in the adapters. `check_publishing` raises Unavailable where nothing may be."""

    def __init__(
        self,
        *,
        policies: PolicyStore,
        ledger: Ledger,
        budgets: Budgets,
        catalogue: Catalogue,
        features: FeatureSource,
        clock: Clock,
        check_publishing: Callable[[], None] = lambda: None,
    ) -> None:
        self._policies, self._ledger, self._budgets, self._catalogue = policies, ledger, budgets, catalogue
        self._features, self._clock, self._check_publishing = features, clock, check_publishing

    def apply_program(self, document: str, author: str, note: str = "", validate_only: bool = False) -> ProgramVersion:
        """Publish a program; see `PolicyStore.publish_program`. With `validate_only` nothing is published, and the
        version in the answer is the one that it would become.

        Raises:
            InvalidRequest: with every mistake, also of features and caps that it names and that do not exist.
        """
        audit = self._audit(author, note)
        name = parse_program(document, beside=self.surroundings()).name
        if not validate_only:
            self._check_publishing()
            return self._policies.publish_program(document, audit)
        try:
            history = self._policies.versions(name)
        except NotFound:
            history = ()
        document = keeping_pause(document, history[-1].document if history else None)
        return ProgramVersion(name, self._version(name, history, document), normalise(document), audit)

    def surroundings(self) -> Surroundings:
        """What a program is checked against: the contact policy in force, and the features served here."""
        self._policies.refresh()  # another worker may just have published the contact policy that it needs
        return Surroundings(self._policies.current().policy, self._features_of)

    def list_programs(self) -> Sequence[ProgramSummary]:
        """Every published program, by name."""
        models = self._catalogue.status()
        return [
            ProgramSummary(
                p.name, p.version, p.description, p.learning_mode, len(p.actions), models.get(p.name, "none"), p.state
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
        self._check_publishing()
        return self._policies.rollback_program(name, version, self._audit(author, note))

    def apply_contact_policy(self, document: str, author: str, note: str = "", validate_only: bool = False) -> int:
        """Publish the contact policy; its version, with `validate_only` the one that it would become."""
        audit = self._audit(author, note)
        if not validate_only:
            self._check_publishing()
            return self._policies.publish_policy(document, audit)
        parse_contact_policy(document)
        return self._version(None, self._policies.policy_versions(), document)

    def get_contact_policy(self, version: int = 0) -> tuple[PolicyVersion, Sequence[PolicyVersion]]:
        """A version of the contact policy (the latest if 0), and its whole history; version 0 if none was published.

        Raises:
            NotFound: no such version.
        """
        history = self._policies.policy_versions()
        if version == 0:
            return history[-1] if history else PolicyVersion(0, "", Audit("", 0)), history
        for published in history:
            if published.version == version:
                return published, history
        hint = f"versions are 1 to {history[-1].version}" if history else "none was published yet"
        raise NotFound("contact policy version", str(version), hint)

    def rollback_contact_policy(self, version: int, author: str, note: str = "") -> PolicyVersion:
        """Publish an earlier version's document as the next version."""
        self._check_publishing()
        return self._policies.rollback_policy(version, self._audit(author, note))

    def set_program_state(self, name: str, state: ProgramState, author: str, note: str = "") -> ProgramVersion:
        """Pause, resume or unpublish a program: its latest document with that state, as the next version; the current
        version again if it is in that state.

        Raises:
            NotFound: no such program.
        """
        self._check_publishing()
        return self._policies.set_program_state(name, state, self._audit(author, note))

    def suppress(self, customer_id: str, channel: str, until_ms: int | None, note: str = "", author: str = "") -> None:
        """Stop contacts on a channel (`*` for all) at once, until a time or for good; also those that are decided and
        not sent yet.

        Raises:
            InvalidRequest: the time is over.
        """
        now_ms = self._clock.now_ms()
        if until_ms is not None and until_ms <= now_ms:
            raise InvalidRequest.of("until_ms", _over(until_ms, now_ms))
        self._suppress(CustomerSuppression(customer_id, channel, until_ms, note, author), now_ms)

    def suppress_batch(self, suppressions: Sequence[CustomerSuppression]) -> int:
        """Put many suppressions in force, each as `suppress` does; how many. May be repeated.

        Raises:
            InvalidRequest: naming those whose time is over; none is applied.
        """
        now_ms = self._clock.now_ms()
        violations = [
            Violation(f"suppressions[{i}].until_ms", _over(s.until_ms, now_ms))
            for i, s in enumerate(suppressions)
            if s.until_ms is not None and s.until_ms <= now_ms
        ]
        if violations:
            raise InvalidRequest(violations)
        for suppression in suppressions:
            self._suppress(suppression, now_ms)
        return len(suppressions)

    def unsuppress(self, customer_id: str, channel: str, author: str = "", note: str = "") -> bool:
        """Lift the suppressions of a channel; False if there were none. What they revoked stays revoked."""
        now_ms = self._clock.now_ms()
        return self._change(customer_id, lambda state: lifting(state, customer_id, channel, now_ms, author, note))

    def _suppress(self, s: CustomerSuppression, now_ms: int) -> None:
        suppression = Suppression(s.channel, Reason.SUPPRESSED, now_ms, s.until_ms, s.note)
        self._change(s.customer_id, lambda state: suppressing(state, s.customer_id, suppression, now_ms, s.author))

    def _change(self, customer_id: str, what: Callable[[CustomerState], Change | None]) -> bool:
        """Change a customer's state as it is when it is changed; False if there was nothing to change."""
        state = self._ledger.state(customer_id)
        for _ in range(MAX_ATTEMPTS):
            change = what(state)
            if change is None:
                return False
            moved = self._ledger.change(customer_id, change, state.version)
            if moved is None:
                release_stopped(self._ledger, self._budgets, change)
                return True
            state = moved.state
        raise Overloaded(f"too much happens to customer {customer_id!r} at once; try again")

    def _version(
        self, program: str | None, history: Sequence[ProgramVersion] | Sequence[PolicyVersion], document: str
    ) -> int:
        """The version that a document would become: the current one again if nothing changed."""
        if history and history[-1].document == normalise(document):
            return history[-1].version
        return self._policies.next_version(program)

    def _features_of(self, service: str) -> Collection[str] | None:
        try:
            return self._features.schema(service)
        except (NotFound, Unavailable):
            return None  # not built yet, or not known to this worker: a program may be published before its features

    def _audit(self, author: str, note: str) -> Audit:
        if not author:
            raise InvalidRequest.of("author", "is empty; say who publishes, for the audit")
        return Audit(author, self._clock.now_ms(), note)


def _over(until_ms: int, now_ms: int) -> str:
    until, now = (datetime.fromtimestamp(ms // 1000, UTC).isoformat(" ") for ms in (until_ms, now_ms))
    return (
        f"{until} is not after the server's time, {now}: a suppression that is over would take the place of one that "
        "holds; give a later time, or leave it out"
    )
