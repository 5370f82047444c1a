"""`nba ledger rebuild`: a ledger that was lost, made again from the warehouse.

    1. claim     the empty ledger; one in service is left alone
    2. publish   every version that was copied, under its number
    3. drain     the log: what was taken since is in the warehouse too
    4. fold      each customer's log, part by part, into the state and what makes retries safe
    5. count     budgets
    6. serve     each shard whose log has not moved since 3; of the others, those customers again, and what became
                 of their tokens: the counters are the service's from now on
    7. resume    the id and the key of draws that the history knows

Until 7 no contact is decided on. Every step puts something in the place of what is there, so a rebuild that was stopped
is simply run again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from decision_service.adapters.clocks import clock_from
from decision_service.adapters.redis.installation import RedisInstallation, UnsafeLedger
from decision_service.adapters.redis.keys import shard_of
from decision_service.adapters.redis.restore import Counters, RedisRestore, Restored
from decision_service.application.ports import EntryKind, Warehouse
from decision_service.core.choice.draw import KEY_BYTES
from decision_service.core.model.errors import Conflict, NbaError, NotFound, Unavailable
from decision_service.core.model.installation import Installation, LedgerState
from decision_service.core.model.program import FrequencyCap
from decision_service.core.model.record import Event, Outcome
from decision_service.core.rebuild import Fate, Holding, Past, rebuilt
from decision_service.operation import bootstrap, jobs
from decision_service.operation.settings import Settings
from decision_service.operation.supervisor import Stack
from decision_service.warehouse.history import ROWS_AT_ONCE, CustomerLog, LoggedCustomers
from decision_service.warehouse.installations import objection, remember
from decision_service.warehouse.loader import drain
from decision_service.warehouse.past_rules import Copies, PastRules, copies_of

ROUNDS = 50
"""Customers of whom something was taken meanwhile are read again so often, each time fewer."""

Progress = Callable[[str, int, int], None]
"""(what, done, total)."""

_INSTALLATIONS = (
    "SELECT ledger_id, draw_key, shards, unnamed_before FROM installation ORDER BY first_seen_ms, ledger_id"
)


@dataclass(slots=True)
class Report:
    """What was brought in. inferred: suppressions of before they were logged, by what outcomes say.

    notes: what could not be brought in, in sentences.
    """

    ledger_id: str
    shards: int
    customers: int = 0
    contacts: int = 0
    suppressions: int = 0
    inferred: int = 0
    counters: int = 0
    budgets: int = 0
    programs: int = 0
    versions: int = 0
    request_ids: int = 0
    facts: int = 0
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)


def rebuild_here(settings: Settings, of: str = "", progress: Progress = lambda *_: None) -> Report:
    """`rebuild`, with the embedded Redis of the home started for it where none runs, and the features filled again that
    were lost with the ledger."""

    def run() -> Report:
        return rebuild(settings, of, progress, fill=lambda: _fill_features(settings))

    if settings.ledger_url:
        return run()
    stack = Stack(settings, loader=False)
    try:
        stack.start_redis()
    except Unavailable:
        return run()  # another supervisor has started it, or its own error says why not
    try:
        return run()
    finally:
        stack.stop()


def _fill_features(settings: Settings) -> str:
    """Build features anew if they were on the ledger's server; what is wrong, empty if nothing is. Before contacts are
    decided on: a refusal that is not in the store any more reads like one that was never given."""
    if settings.features_address != settings.ledger_address:
        return ""
    try:
        jobs.build_features(settings)
    except NbaError as error:
        return f"the features that were on the same server are not filled again, run `nba features build`: {error}"
    return ""


def rebuild(
    settings: Settings,
    of: str = "",
    progress: Progress = lambda *_: None,
    rows_at_once: int = ROWS_AT_ONCE,
    fill: Callable[[], str] = lambda: "",
) -> Report:
    """Bring the history of the ledger `of`, by default the newest, into this one and put it in service.

    fill: brings back what else was on its server, before contacts are decided on; what is wrong, in a sentence.

    Raises:
        NbaError: there is nothing to rebuild, or this ledger is in service.
        NotFound: no ledger of that id wrote to the warehouse.
        UnsafeLedger: it had another number of shards.
        Unavailable: a part does not answer; run it again.
    """
    warehouse, installations = bootstrap.open_warehouse(settings), bootstrap.open_installation(settings)
    bootstrap.open_ledger(settings).close()  # refuses a server that would lose it again
    restore = bootstrap.open_restore(settings)
    try:
        here, lost = _claim(settings, installations, warehouse, of)
        return _Rebuild(settings, warehouse, restore, lost, progress, rows_at_once, fill).run(here, installations)
    finally:
        restore.close()
        installations.close()


def _claim(
    settings: Settings, installations: RedisInstallation, warehouse: Warehouse, of: str
) -> tuple[Installation, Installation]:
    """The ledger that is here, and the one that is to take its place."""
    if installations.look() is None and installations.has_shards():
        raise Conflict("the ledger is of an earlier release and has what it needs: start it with `nba up`")
    here = installations.claim()
    if here.state is LedgerState.READY:
        if of not in ("", here.ledger_id):
            raise Conflict(f"ledger {here.ledger_id} is in service; what another knew is not brought into it")
        return here, here
    if not objection(here, warehouse):
        raise Conflict("nothing to rebuild: the warehouse has no history, or it is this ledger's own; run `nba up`")
    rows = {row["ledger_id"]: row for row in warehouse.query(_INSTALLATIONS).to_pylist()}
    if of and of not in rows:
        raise NotFound("ledger", of, f"the warehouse knows {', '.join(rows) or 'none by name'}")
    if not rows:
        made = Installation(secrets.token_hex(8), secrets.token_bytes(KEY_BYTES), unnamed_before=True)
        return here, made
    row = rows[of or next(reversed(rows))]
    if row["shards"] != settings.shards:
        raise UnsafeLedger(
            f"ledger {row['ledger_id']} had {row['shards']} shards, not {settings.shards}: its decisions name them; "
            f"set NBA_SHARDS={row['shards']}"
        )
    return here, Installation(row["ledger_id"], bytes.fromhex(row["draw_key"]), bool(row["unnamed_before"]))


class _Rebuild:
    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        restore: RedisRestore,
        lost: Installation,
        progress: Progress,
        rows_at_once: int,
        fill: Callable[[], str],
    ) -> None:
        self._settings, self._warehouse, self._restore = settings, warehouse, restore
        self._lost, self._progress, self._rows_at_once, self._fill = lost, progress, rows_at_once, fill
        self._now_ms = clock_from(settings.clock).now_ms()
        self._since_ms = self._now_ms - settings.record_retention_s * 1000
        self._report = Report(lost.ledger_id, settings.shards)
        self._was_recognised = bool(warehouse.query(_INSTALLATIONS).num_rows)
        self._counters, self._settled = Counters(self._since_ms), list[Holding]()

    def run(self, here: Installation, installations: RedisInstallation) -> Report:
        is_whole = here.state is not LedgerState.READY
        missing = set(range(self._settings.shards)) if is_whole else self._restore.not_serving(here.ledger_id)
        if not missing:
            raise Conflict(f"ledger {here.ledger_id} is in service: there is nothing to rebuild")
        self._report.shards = len(missing)
        self._restore.begin(missing, self._loaded())
        copies = copies_of(self._warehouse, self._lost.known_as)
        if is_whole:
            self._publish(copies)
            if problem := self._fill():
                self._report.notes.append(problem)
        self._bring_in(missing, copies, is_whole)
        if is_whole:
            # The copy first: nothing is decided on a key that only Redis holds.
            remember(self._lost, self._warehouse, self._settings.shards, self._now_ms)
            if installations.resume(here, self._lost).ledger_id != self._lost.ledger_id:
                raise Conflict("another ledger took this one's place meanwhile; run `nba doctor`")
        return self._report

    def _loaded(self) -> dict[int, int]:
        loaded: dict[int, int] = {}
        for kind in EntryKind:
            for shard, sequence in self._warehouse.loaded(kind).items():
                loaded[shard] = max(sequence, loaded.get(shard, 0))
        return loaded

    def _publish(self, copies: Copies) -> None:
        policies = bootstrap.open_policies(self._settings)
        if copies.latest_policy and not copies.policies:
            raise NbaError(
                "the contact policy that decisions were made under was never copied to the warehouse, so no cap could "
                "hold; start anew with `nba ledger new`, and publish it again"
            )
        entries, latest = dict(copies.policies), copies.latest_policy
        if latest and latest not in entries:
            known = max(entries)
            latest += 1
            entries[latest] = type(entries[known])(latest, entries[known].document, entries[known].audit)
            self._report.notes.append(f"version {known} of the contact policy is in force again, as version {latest}")
        policies.restore(None, entries, latest)
        for name, highest in copies.latest.items():
            policies.restore(name, copies.programs.get(name, {}), highest)
        policies.announce()
        self._report.programs = len(copies.programs)
        self._report.versions = len(copies.policies) + sum(map(len, copies.programs.values()))
        self._report.notes += [
            f"{lost} was never copied to the warehouse: publish it again with `nba apply`" for lost in copies.lost
        ]
        policies.close()

    def _bring_in(self, missing: set[int], copies: Copies, is_whole: bool) -> None:
        logged = LoggedCustomers(self._warehouse, self._lost.known_as, self._since_ms)
        rules = PastRules(self._warehouse, copies)
        policy, programs = rules.in_force()
        caps = [*policy.caps, *(cap for program in programs for cap in program.caps)]
        reader, now_ms = bootstrap.open_log(self._settings), clock_from(self._settings.clock).now_ms
        waiting, before = set(missing), dict[int, int]()
        for turn in range(ROUNDS):
            positions = self._restore.positions(waiting)
            drain(reader, self._warehouse, now_ms, self._settings.load_batch)
            past = Past(
                rules.action_of,
                rules.policy_of,
                self._settings.record_retention_s * 1000,
                logged.preferences_from_ms(),
            )
            if turn == 0:
                self._fold_everybody(logged, past, caps, waiting)
            else:
                changed = logged.heard_of_since({shard: before[shard] for shard in waiting})
                self._fold(logged.of(changed), past, caps, waiting, again=True)
            if is_whole:
                self._count_budgets(turn == 0)
            ledger_id = self._lost.ledger_id
            served = {s for s in waiting if self._restore.put_in_service(s, positions[s], ledger_id)}
            waiting, before = waiting - served, positions
            if not waiting:
                break
        else:
            raise Unavailable(
                "ledger", "too much is taken meanwhile to follow; stop what reports to it, and run it again"
            )
        reader.close()
        self._report.budgets = len(self._counters.by_key) if is_whole else 0
        self._note(rules.unknown)

    def _fold_everybody(
        self, logged: LoggedCustomers, past: Past, caps: list[FrequencyCap], shards: Collection[int]
    ) -> None:
        parts = logged.parts(self._rows_at_once)
        for part in range(parts):
            self._progress("customers", part, parts)
            self._fold(logged.part(part, parts), past, caps, shards)
        self._progress("customers", parts, parts)

    def _fold(
        self,
        logs: Iterable[CustomerLog],
        past: Past,
        caps: list[FrequencyCap],
        shards: Collection[int],
        again: bool = False,
    ) -> None:
        batch = []
        for log in logs:
            if shard_of(log.customer_id, self._settings.shards) not in shards:
                continue
            told = rebuilt(log.bodies, past, caps, self._now_ms)
            for holding in told.holdings:
                if again:
                    self._settled.append(holding)
                else:
                    self._counters.add(holding)
            facts = [b for b in log.bodies if isinstance(b, (Outcome, Event)) and b.received_at_ms > self._since_ms]
            reported = {d: (r.statuses, r.received_at_ms) for d, r in told.reports.items()}
            batch.append(Restored(log.customer_id, told.state, log.records, reported, told.stopped, facts))
            if not again:
                self._count(batch[-1], told.inferred)
        self._restore.customers(batch, self._now_ms)

    def _count(self, customer: Restored, inferred: int) -> None:
        report = self._report
        report.customers += 1
        report.contacts += len(customer.state.contacts)
        report.suppressions += len(customer.state.suppressions)
        report.inferred += inferred
        report.counters += len(customer.state.events)
        report.request_ids += len(customer.records)
        report.facts += len(customer.facts)

    def _count_budgets(self, is_first: bool) -> None:
        """Once from what was logged; then what was reported meanwhile, which may have reached the counters by itself:
        before they were written, or after, when a shard that is in service took it."""
        if is_first:
            self._restore.budgets(self._counters, self._now_ms)
        budgets = bootstrap.open_budgets(self._settings)
        for holding in self._settled:
            if holding.fate is Fate.SPENT:
                budgets.spend(holding.decision_id, holding.tokens)
            elif holding.fate is Fate.GIVEN_BACK:
                budgets.release(holding.decision_id, holding.tokens)
        self._settled.clear()
        budgets.close()

    def _note(self, unknown: set[str]) -> None:
        if self._lost.unnamed_before:
            by_hand = "" if self._was_recognised else "those by hand are not known; "
            self._report.notes.append(
                f"of suppressions of a release that did not log them, {by_hand}those that outcomes of then brought are "
                f"in force, be it that they were lifted since: {self._report.inferred}"
            )
        if unknown:
            self._report.notes.append(f"contacts of {', '.join(sorted(unknown))} count without their tags and messages")
