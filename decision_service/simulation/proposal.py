"""What somebody thinks of publishing, and the period to simulate it over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from decision_service.application.ports import Simulations
from decision_service.core.guardrails.groups import following
from decision_service.core.model.errors import InvalidRequest, Unavailable, Violation
from decision_service.core.model.program import ContactPolicy, Program
from decision_service.documents import Surroundings, parse_contact_policy, parse_program

PROGRAM_FIELD, POLICY_FIELD = "document", "contact_policy_document"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A checked proposal. `policy` None: every decision keeps the contact policy it was made under.

    from_ms, until_ms: decisions of [from_ms, until_ms) are simulated, UTC epoch milliseconds.
    features: names of features or of context values to report by, beside segments.
    """

    program: Program
    policy: ContactPolicy | None
    from_ms: int
    until_ms: int
    features: tuple[str, ...] = field(default=())

    def after(self, before: Program | None) -> Proposal:
        """With the groups that the program gets when it follows a version; None if it is the first."""
        if before is None:
            return self
        return replace(self, program=replace(self.program, groups=following(self.program.groups, before.groups)))


def check(
    document: str,
    contact_policy_document: str,
    from_ms: int,
    until_ms: int,
    features: tuple[str, ...] = (),
    beside: Surroundings | None = None,
) -> Proposal:
    """The proposal that these documents and this period make.

    beside: what the program is checked against, as when it is published; a contact policy that is proposed with it
    takes the place of the one in force.

    Raises:
        InvalidRequest: every mistake of both documents and of the period, at once.
    """
    violations: list[Violation] = []
    program, policy = None, None
    if contact_policy_document:
        try:
            policy = parse_contact_policy(contact_policy_document)
        except InvalidRequest as wrong:
            violations += _within(POLICY_FIELD, wrong)
        if beside is not None:
            beside = replace(beside, policy=policy)  # None: it cannot be read, so nothing is known of its caps
    try:
        program = parse_program(document, beside=beside)
    except InvalidRequest as wrong:
        violations[:0] = _within(PROGRAM_FIELD, wrong)
    if from_ms < 0:
        violations.append(Violation("from_ms", f"{from_ms} lies before 1970; give UTC epoch milliseconds"))
    if until_ms <= from_ms:
        violations.append(Violation("until_ms", f"{until_ms} is not after from_ms, {from_ms}; the period is empty"))
    if violations:
        raise InvalidRequest(violations)
    assert program is not None
    return Proposal(program, policy, from_ms, until_ms, features)


def _within(document: str, wrong: InvalidRequest) -> list[Violation]:
    return [Violation(f"{document}: {v.field}" if v.field else document, v.message) for v in wrong.violations]


class CheckedSimulations:
    """What a worker serves: mistakes are told at once, and only what can be simulated waits for the simulator."""

    def __init__(self, simulator: Simulations | None, surroundings: Callable[[], Surroundings]) -> None:
        """Over the way to the simulator, None where there is none; `surroundings` are those of this moment."""
        self._simulator, self._surroundings = simulator, surroundings

    def run(self, document: str, contact_policy_document: str, from_ms: int, until_ms: int, timeout_s: float) -> str:
        """See `ports.Simulations.run`."""
        check(document, contact_policy_document, from_ms, until_ms, beside=self._surroundings())
        if self._simulator is None:
            raise Unavailable("simulator", "this service was put together without one")
        return self._simulator.run(document, contact_policy_document, from_ms, until_ms, timeout_s)
