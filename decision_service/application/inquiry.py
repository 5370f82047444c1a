"""Why a decision was made, and what is known of a customer. Nothing here changes anything."""

from __future__ import annotations

from decision_service.application.policy_store import PolicyStore
from decision_service.application.ports import Catalogue, Clock, Ledger
from decision_service.core.choice import encoding
from decision_service.core.decide import decide
from decision_service.core.explanation.customer_summary import Standing, standing
from decision_service.core.explanation.explain import Attribution, Explanation, explain
from decision_service.core.guardrails.eligibility import Rules
from decision_service.core.model.errors import ModelRejected, NotFound, Unavailable
from decision_service.core.model.program import Program
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import DecisionRecord
from decision_service.core.replay import ReplayResult, compare, inputs_of
from decision_service.core.what_if.simulate import Versions


class Inquiry:
    """Thread-safe: all state is in the adapters."""

    def __init__(
        self, *, policies: PolicyStore, ledger: Ledger, catalogue: Catalogue, rules: Rules, clock: Clock
    ) -> None:
        self._policies, self._ledger, self._catalogue = policies, ledger, catalogue
        self._rules, self._clock = rules, clock

    def get_decision(self, decision_id: str) -> DecisionRecord:
        """The record.

        Raises:
            NotFound: unknown, or older than the ledger's retention; the warehouse keeps it.
        """
        return self._ledger.record(decision_id)

    def explain(self, decision_id: str) -> Explanation:
        """Why a decision was made; see `explain_record`."""
        return self.explain_record(self._ledger.record(decision_id))

    def explain_record(self, record: DecisionRecord) -> Explanation:
        """The funnel of one decision, or of a dry run, under the versions it was made with; see `explained`."""
        return explained(record, self._policies, self._rules, self._catalogue)

    def customer(self, customer_id: str) -> Standing:
        """What is known of a customer now, under what is published now; of an unknown one, the groups."""
        published = self._policies.current()
        state = self._ledger.state(customer_id)
        return standing(customer_id, state, published.programs, published.policy, self._clock.now_ms())

    def replay(self, decision_id: str) -> ReplayResult:
        """Recompute a decision from its record and the versioned artifacts; see `replay_record`."""
        return self.replay_record(self._ledger.record(decision_id))

    def replay_record(self, record: DecisionRecord) -> ReplayResult:
        """Run the same core on the logged inputs and draw, and compare what it gives with what was logged."""
        try:
            models = {c.program: self._catalogue.scorer(c.model) for c in record.candidates if c.model is not None}
        except ModelRejected as rejected:
            return ReplayResult(False, (f"model: {rejected}",))
        programs = {c.program: self._policies.program_at(c.program, c.program_version) for c in record.candidates}
        inputs = inputs_of(record, programs, self._policies.policy_at(record.policy_version))
        return compare(record, decide(inputs, self._rules, models, record.draw))


def explained(record: DecisionRecord, versions: Versions, rules: Rules, catalogue: Catalogue) -> Explanation:
    """Explain a record by the versions and the model that it names.

    Raises:
        NotFound: a version of the program or the contact policy is not known any more.
    """
    programs = {c.program: versions.program_at(c.program, c.program_version) for c in record.candidates}
    attribution = _attribution(record, programs[record.program], catalogue)
    return explain(record, programs, versions.policy_at(record.policy_version), rules, attribution)


def _attribution(record: DecisionRecord, program: Program, catalogue: Catalogue) -> Attribution:
    """What spoke for the action drawn, by the weights of the model that scored it."""
    rewards = {o.action: o.predicted_reward for o in record.options if o.predicted_reward is not None}
    if record.model is None or record.drawn not in rewards or len(rewards) < 2:
        return Attribution()
    try:
        scorer = catalogue.scorer(record.model)
    except (NotFound, ModelRejected, Unavailable) as error:
        return Attribution(missing=f"the model cannot be loaded: {error}")
    # What the model was shown: the options, and those that only a baseline kept from being served.
    hidden = {e.action for e in record.exclusions if e.reason is Reason.BASELINE_ONLY}
    actions = [a for a in program.all_actions if a.id in hidden or a.id in rewards]
    known = encoding.known_values(record.features.values, record.live, record.request.context)
    encoded = scorer.encode(known, actions)
    if encoding.digest(encoded) != record.encoding_digest:
        return Attribution(missing="the record no longer encodes to what the model was shown")
    ids = [action.id for action in actions]
    runner_up = max((a for a in rewards if a != record.drawn), key=lambda action: rewards[action])
    parts = scorer.contributions(encoded, ids.index(record.drawn), ids.index(runner_up))
    return Attribution(runner_up, tuple(parts))
