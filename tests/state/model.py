"""A small, obviously right model of the guardrails: lists of what was sent when, and counting.

It reads the published documents as people write them, and shares nothing with the code that decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, inf

from tests.state.calendars import DAY, bounds, label, labels, quiet_times
from tests.state.sendings import (
    GRACE,
    KEPT_TIMES,
    LONGEST_QUEUE,
    READ_AHEAD,
    SENT,
    Customer,
    Document,
    Fits,
    Key,
    Objection,
    Sending,
    duration_ms,
    in_scope,
)


@dataclass
class Model:
    """What is published, and what happened."""

    now_ms: int
    customers: Mapping[str, Customer]
    policy: Document
    programs: dict[str, Document]
    latest_ms: int = 0
    happened: int = 0
    sendings: list[Sending] = field(default_factory=list)
    suppressed: dict[tuple[str, str, str], float] = field(default_factory=dict)  # customer, channel, reason → until
    counted: list[tuple[str, str, str, str, int]] = field(default_factory=list)
    """Outcomes by what rules pause: customer, kind of thing, outcome, thing, when."""

    def move_clock(self, now_ms: int) -> None:
        self.now_ms, self.latest_ms = now_ms, max(self.latest_ms, now_ms)

    # ── Deciding ──────────────────────────────────────────────────────────────────────────────────────────

    def verdict(
        self,
        customer: Customer,
        program: str,
        action: Document,
        commits: bool = False,
        held_until_ms: int | None = None,
    ) -> Fits | Objection:
        """Whether a contact is allowed now, by the documents in force.

        held_until_ms: of one that is decided, until when its slot and tokens are held.
        commits: judge budgets however far ahead; before, only periods that begin within READ_AHEAD are.
        """
        document, channel = self.programs[program], action["channel"]
        consent = self.policy["consent"]
        if channel in consent["features"] and not (
            consent["default"] == "allow" if customer.email_ok is None else customer.email_ok
        ):
            return Objection("NO_CONSENT")
        if reason := self.suppression(customer, channel):
            return Objection(reason)
        if self.is_paused(customer, program, action):
            return Objection("SUPPRESSED_BY_OUTCOME")
        span = self.span(customer, document, channel, held_until_ms)
        if isinstance(span, Objection):
            return span
        rules = [("", cap) for cap in self.policy["caps"]] + [(program, cap) for cap in document["caps"]]
        ignores = action.get("ignores_caps", [])
        binding = [
            (owner, cap)
            for owner, cap in rules
            if ignores != "all" and cap["id"] not in ignores and in_scope(cap.get("scope", {}), owner, program, action)
        ]
        for _, cap in binding:
            if "calendar" in cap and customer.timezone is None:
                return Objection("TIMEZONE_UNKNOWN")
        for owner, cap in binding:
            if self.could_hold(cap, owner, customer, *span) >= cap.get("limit", 1):
                return Objection("FREQUENCY_CAP", cap["id"])
        takes: dict[Key, int] = {}
        for owner, budget in self.budgets(program):
            amount = round(action.get("cost", 0) * 1_000_000) if "money" in budget else 1
            if amount == 0 or not in_scope(budget.get("scope", {}), owner, program, action):
                continue
            key = self.key(owner, budget, span[0])
            is_read = commits or self._begins(budget, span[0]) <= self.now_ms + READ_AHEAD.get(budget["per"], 7 * DAY)
            level = self.level(key) if is_read else 0
            if held_until_ms is None and level + amount > self.allowed(budget, span[0]):
                return Objection("VOLUME_LIMIT", budget["id"])
            takes[key] = amount
        return Fits(*span, takes)

    def turning_points(self, customer: Customer) -> list[int]:
        """Moments from now on at which a verdict may change, by what is known, and those just before; in order."""
        lasts = [duration_ms(cap.get("rolling") or cap["gap"]) for cap in self._caps() if "calendar" not in cap]
        units = {cap["calendar"] for cap in self._caps() if "calendar" in cap}
        zone = customer.timezone or "UTC"
        points = {until for (who, *_), until in self.suppressed.items() if who == customer.id and until < inf}
        for sending in [s for s in self.sendings if s.customer is customer][-4:]:
            ends = sending.fits.until_ms if sending.sent_ms is None else sending.sent_ms
            points |= {
                ends + GRACE + 1,
                *(ends + last for last in lasts),
                *(sending.fits.from_ms + last for last in lasts),
            }
            points |= {bounds(unit, ends, zone, "mon")[1] for unit in units}
        for rule in self.policy["pause_on"]:
            points |= {at + duration_ms(rule["for"]) for who, *_, at in self.counted[-4:] if who == customer.id}
        for document in (self.policy, *self.programs.values()):
            for quiet in document["quiet_hours"]:
                for period in quiet_times(quiet, zone, self.now_ms, self.now_ms + DAY):
                    points |= set(period)
        return sorted(round(at) + shift for at in points for shift in (-1, 0) if at > self.now_ms)

    def _caps(self) -> list[Document]:
        return [cap for document in (self.policy, *self.programs.values()) for cap in document["caps"]]

    def suppressions(self, customer: Customer) -> dict[tuple[str, str], float | None]:
        """Those in force: channel, reason → until when; None is for good."""
        return {
            (channel, reason): None if until == inf else until
            for (who, channel, reason), until in self.suppressed.items()
            if who == customer.id and self.now_ms < until
        }

    def suppression(self, customer: Customer, channel: str) -> str | None:
        """The reason why nothing may go out on the channel; what an outcome brought comes first, then its own."""
        for on in (channel, "*"):
            for reason in ("SUPPRESSED_BY_OUTCOME", "SUPPRESSED"):
                if self.now_ms < self.suppressed.get((customer.id, on, reason), -inf):
                    return reason
        return None

    def is_paused(self, customer: Customer, program: str, action: Document) -> bool:
        return any(
            self.now_ms < self.paused_until(customer, rule, thing)
            for rule in self.policy["pause_on"]
            for thing in things(rule["pauses"], program, action, action["channel"])
        )

    def paused_until(self, customer: Customer, rule: Document, thing: str) -> float:
        """When the pause of a thing by a rule ends, or ended; never, if it never began."""
        within, lasts = duration_ms(rule["within"]), duration_ms(rule["for"])
        asked = (customer.id, rule["pauses"], rule["outcome"], thing)
        times = sorted(at for *what, at in self.counted if tuple(what) == asked)[-KEPT_TIMES:]
        ends = [at + lasts for at in times if sum(at - within < other <= at for other in times) >= rule["count"]]
        return max(ends, default=-inf)

    def span(
        self, customer: Customer, document: Document, channel: str, held_until_ms: int | None = None
    ) -> tuple[int, int] | Objection:
        """From now or the end of quiet hours, for the lease, but not into the next quiet hours."""
        rests = [
            quiet
            for quiet in (*self.policy["quiet_hours"], *document["quiet_hours"])
            if channel in quiet.get("channels", [channel])
        ]
        lease = duration_ms(document["lease"])
        if not rests:
            return self.now_ms, self.now_ms + lease if held_until_ms is None else held_until_ms
        if customer.timezone is None:
            return Objection("TIMEZONE_UNKNOWN")
        moment = self.now_ms
        while True:
            holding = [
                (end, quiet["when_quiet"])
                for quiet in rests
                for start, end in quiet_times(quiet, customer.timezone, moment, moment)
                if start <= moment < end
            ]
            if not holding:
                break
            if any(when_quiet == "discard" for _, when_quiet in holding) or moment - self.now_ms > LONGEST_QUEUE:
                return Objection("QUIET_HOURS")
            moment = max(end for end, _ in holding)
        until = moment + lease if held_until_ms is None else held_until_ms
        if moment > until:
            return Objection("QUIET_HOURS")
        begins = (
            start
            for quiet in rests
            for start, _ in quiet_times(quiet, customer.timezone, moment, until)
            if start > moment
        )
        return moment, min(until, *(start - 1 for start in begins), until)

    # ── Counting ──────────────────────────────────────────────────────────────────────────────────────────

    def could_hold(self, cap: Document, owner: str, customer: Customer, from_ms: int, until_ms: int) -> int:
        """The most others that could be in one of the cap's windows together with a contact of this span."""
        others = [
            (s.fits.from_ms, s.fits.until_ms) if s.sent_ms is None else (s.sent_ms, s.sent_ms)
            for s in self.sendings
            if s.customer is customer
            and s.counted
            and in_scope(cap.get("scope", {}), owner, s.program, s.action)
            and (s.may_come(self.now_ms) or holds(cap, s))
        ]
        if "calendar" in cap:
            assert customer.timezone is not None
            unit, first = cap["calendar"], cap.get("week_starts", "mon")
            named = [labels(unit, *other, customer.timezone, first) for other in others]
            windows = labels(unit, from_ms, until_ms, customer.timezone, first)
            return max(sum(window in names for names in named) for window in windows)
        length = duration_ms(cap.get("rolling") or cap["gap"])
        starts = {from_ms - length + 1, *(f - length + 1 for f, _ in others), *(u for _, u in others)}
        return max(
            sum(f < start + length and u >= start for f, u in others)
            for start in starts
            if from_ms - length < start <= until_ms
        )

    def budgets(self, program: str) -> Iterator[tuple[str, Document]]:
        """Those in force for a program, with the program whose document they stand in."""
        yield from (("", budget) for budget in self.policy["budgets"])
        for budget in self.programs[program]["budgets"]:
            yield program, {"scope": {"program": "this"}, **budget}

    def key(self, owner: str, budget: Document, at_ms: int) -> Key:
        period = label(budget["per"], at_ms, budget.get("timezone", "UTC"), budget.get("week_starts", "mon"))
        return f"{owner}/{budget['id']}", "money" if "money" in budget else "contacts", period

    def _begins(self, budget: Document, at_ms: int) -> int:
        if budget["per"] == "total":
            return 0
        return bounds(budget["per"], at_ms, budget["timezone"], budget.get("week_starts", "mon"))[0]

    def level(self, key: Key) -> int:
        """What was sent, and what may still be."""
        return sum(s.fits.takes.get(key, 0) for s in self.sendings if s.sent_ms is not None or s.may_come(self.now_ms))

    def allowed(self, budget: Document, at_ms: int) -> int:
        limit = round(budget["money"] * 1_000_000) if "money" in budget else budget["limit"]
        if "pace" not in budget:
            return int(limit)
        start, end = bounds(budget["per"], at_ms, budget.get("timezone", "UTC"), budget.get("week_starts", "mon"))
        return ceil(limit * Fraction(at_ms - start, end - start))

    # ── What became of it ─────────────────────────────────────────────────────────────────────────────────

    def contradicted(self, sending: Sending, status: str) -> str | None:
        """The latest report that cannot be true together with this one."""
        for known in reversed(sending.told):
            if (known in SENT) != (status in SENT) or (known, status) == ("BOUNCED", "DELIVERED"):
                return known
        return None

    def report(self, sending: Sending, status: str, at_ms: int) -> None:
        """A report that says something new: that it was sent wins, and of its fates the latest."""
        self.happened += 1
        held_its_slot = sending.status == "RESERVED"
        sending.told.append(status)
        if status not in SENT:
            if sending.sent_ms is None:
                sending.status = status
            return
        fits, is_first = sending.fits, sending.sent_ms is None
        if is_first or status == "SENT":
            # What is told of it when its arrival is known cannot be later than that.
            known_ms = at_ms if sending.sent_ms is None else sending.sent_ms
            sending.sent_ms = max(min(at_ms, known_ms), sending.decided_ms)
            on_time = fits.from_ms <= sending.sent_ms <= fits.until_ms
            if is_first:
                # By the latest time that the clock ever showed: what had lapsed then may have been given away.
                sending.in_time = on_time and held_its_slot and self.latest_ms <= fits.until_ms + GRACE
                sending.reported = self.happened
            else:
                sending.in_time = sending.in_time and on_time
        fates = [told for told in sending.told if told in SENT and told != "SENT"]
        sending.status = fates[-1] if fates else "SENT"

    def reserve(self, sending: Sending) -> None:
        """A decision to contact. What had lapsed by then is over for good."""
        self.happened += 1
        for other in self.sendings:
            if other.customer is sending.customer and other.status == "RESERVED" and not other.may_come(self.now_ms):
                other.status = "LAPSED"
        self.sendings.append(sending)

    def revoke(self, customer: Customer, concerns: Callable[[Sending], bool]) -> None:
        """What is reserved and concerned must not be sent any more."""
        for sending in self.sendings:
            if sending.customer is customer and sending.status == "RESERVED" and concerns(sending):
                sending.stopped = True
                if sending.fits.from_ms > self.now_ms:  # else it may be on its way, and keeps its slot
                    sending.status = "REVOKED"

    def confirms(self, sending: Sending) -> str:
        """What a runner is told that asks whether to send now. A STOP frees the slot."""
        if sending.stopped and sending.status == "RESERVED" and not sending.told:
            sending.status = "REVOKED"
        if sending.stopped or sending.told:
            return "STOP"
        answer, status = self._confirms(sending)
        if answer == "STOP" and not (status == "LAPSED" and sending.may_come(self.now_ms)):
            sending.stopped = True
            sending.status = status
        return answer

    def _confirms(self, sending: Sending) -> tuple[str, str]:
        until_ms = sending.fits.until_ms
        if sending.status == "LAPSED" or self.now_ms > until_ms:
            return "STOP", "LAPSED"
        actions = [a for a in self.programs[sending.program]["actions"] if a["id"] == sending.action["id"]]
        if not actions:
            return "STOP", "REVOKED"
        place = self.sendings.index(sending)
        self.sendings.pop(place)
        fits = self.verdict(sending.customer, sending.program, actions[0], held_until_ms=until_ms)
        self.sendings.insert(place, sending)
        if isinstance(fits, Objection):
            return "STOP", "REVOKED"
        queued_until = sending.fits.from_ms if sending.fits.from_ms > sending.decided_ms else 0
        return ("GO" if max(fits.from_ms, queued_until) <= self.now_ms else "WAIT"), sending.status

    def outcome(self, customer: Customer, name: str, channel: str, at_ms: int, of: Sending | None) -> None:
        """It suppresses, and counts under whatever a rule in force may pause for it; both revoke what is reserved."""
        for rule in self.policy["suppress_on"]:
            if rule["outcome"] == name:
                on = "*" if rule["channels"] == "all" or not channel else channel
                until = at_ms + duration_ms(rule["for"]) if "for" in rule else inf
                key = (customer.id, on, "SUPPRESSED_BY_OUTCOME")
                if until > self.now_ms and until > self.suppressed.get(key, -inf):
                    self.revoke(customer, lambda s, on=on: on in ("*", s.action["channel"]))
                self.suppressed[key] = max(until, self.suppressed.get(key, -inf))
        of = of if of is not None and of.customer is customer else None
        program, action = (of.program, of.action) if of is not None else ("", None)
        on = channel or (action["channel"] if action is not None else "")
        rules = [rule for rule in self.policy["pause_on"] if rule["outcome"] == name]
        counted = {(rule["pauses"], thing) for rule in rules for thing in things(rule["pauses"], program, action, on)}
        before = [(r, t, self.paused_until(customer, r, t)) for r in rules for k, t in counted if k == r["pauses"]]
        self.counted += [(customer.id, kind, name, thing, at_ms) for kind, thing in counted]
        for rule, thing, until in before:
            if self.now_ms < self.paused_until(customer, rule, thing) != until:
                self.revoke(
                    customer,
                    lambda s, rule=rule: any(
                        self.now_ms < self.paused_until(customer, rule, own)
                        for own in things(rule["pauses"], s.program, s.action, s.action["channel"])
                    ),
                )

    def suppress(self, customer: Customer, channel: str, until: float) -> None:
        self.suppressed[customer.id, channel, "SUPPRESSED"] = until
        self.revoke(customer, lambda s: channel in ("*", s.action["channel"]))

    def unsuppress(self, customer: Customer, channel: str) -> bool:
        """Whether there was anything to lift, in force or over."""
        gone = [key for key in self.suppressed if key[:2] == (customer.id, channel)]
        for key in gone:
            del self.suppressed[key]
        return bool(gone)


def things(kind: str, program: str, action: Document | None, channel: str) -> list[str]:
    """What outcomes of a contact are counted by, and what a rule of this kind pauses."""
    if kind == "all":
        return ["everything"]
    if kind == "channel":
        return [channel] if channel else []
    if action is None:
        return []
    return list(action.get("tags", [])) if kind == "tag" else [f"{program} {action['id']}"]


def holds(cap: Document, sending: Sending) -> bool:
    """Whether a contact that can no longer come holds a slot of the cap."""
    match cap.get("counts", "activated"):
        case "reserved":
            return True
        case "activated":
            return sending.sent_ms is not None
    return sending.sent_ms is not None and sending.status != "BOUNCED"
