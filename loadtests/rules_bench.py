"""What Decide costs as programs grow: 200 actions × 10 rules × 20 caps beside 12 × 2 × 3, in one process.

The two are measured in turns, so that what else the machine does meets both. Rules are real CEL, the model is a real
Vowpal Wabbit one; there is no network. Three depths: the guardrails with the draw (no model), the functional core with
the model, the whole service over in-memory adapters.
"""

from __future__ import annotations

import gc
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from decision_service.adapters import vw
from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.clocks import ManualClock
from decision_service.adapters.memory.budgets import MemoryBudgets
from decision_service.adapters.memory.catalogue import MemoryCatalogue
from decision_service.adapters.memory.features import MemoryFeatures, MemoryView
from decision_service.adapters.memory.ledger import MemoryLedger
from decision_service.adapters.memory.policies import MemoryPolicies
from decision_service.application.policy_store import Audit, Published
from decision_service.application.services import Services
from decision_service.core.choice import encoding
from decision_service.core.choice.draw import KeyedDraw
from decision_service.core.decide import Entrant, Inputs, Scorer, decide
from decision_service.core.guardrails.caps import DAY_MS
from decision_service.core.guardrails.live import live_names
from decision_service.core.model.customer import Contact, ContactStatus, CustomerState
from decision_service.core.model.program import Action, Program
from decision_service.core.model.record import DecideRequest, FeatureStatus, ModelVersion, ServedFeatures
from decision_service.core.model.values import Value, ValueType

CHANNELS = ("email", "push", "sms", "web")
TAGS = ("sale", "news", "service", "partner", "season")
SEGMENTS = ("new", "vip", "asleep")
NUMBERS = tuple(f"number_{i}" for i in range(16))
SERVICE, PROGRAM = "customer_v1", "grown"
CONTACTS = 10
TARGET = 5.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much a program holds; `rules` are distinct ones, the audience among them."""

    name: str
    actions: int
    rules: int
    caps: int

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.actions} actions × {self.rules} rules × {self.caps} caps"


SMALL, LARGE = Size("small", 12, 2, 3), Size("large", 200, 10, 20)


def program_document(size: Size) -> str:
    """Every rule holds and no cap is full, so that every action goes all the way."""
    rules = [f'customer.number_{i} >= 0.0 && !("absent_{i}" in segments)' for i in range(size.rules - 1)]
    actions = [
        {
            "id": f"a{i}",
            "channel": CHANNELS[i % len(CHANNELS)],
            "message": f"m{i // len(CHANNELS)}",
            "tags": [TAGS[i % len(TAGS)]],
            "attributes": {"offer": f"o{i % 7}"},
            "eligible": rules[i % len(rules)],
        }
        for i in range(size.actions)
    ]
    caps: list[dict[str, Any]] = []
    for i in range(size.caps):
        scope = ({}, {"channel": CHANNELS[i % len(CHANNELS)]}, {"tag": TAGS[i % len(TAGS)]})[i % 3]
        window = {"calendar": ("day", "week", "month")[i % 3]} if i % 2 else {"rolling": f"{1 + i}d"}
        counts = ("activated", "delivered", "reserved")[i % 3]
        caps.append({"id": f"c{i}", "limit": CONTACTS + 1 + i, "scope": scope, "counts": counts, **window})
    return json.dumps(
        {
            "name": PROGRAM,
            "features": {"service": SERVICE, "exclude_from_model": ["timezone"]},
            "audience": "customer.number_0 < 1000.0",
            "actions": actions,
            "caps": caps,
            "groups": {"treatment": "100%"},
            "reward": {"outcomes": {"purchase": 1}, "window": "1d"},
        }
    )


def features(source: random.Random) -> dict[str, Value | None]:
    """What is known of a customer."""
    return {
        **{name: round(source.uniform(0, 100), 3) for name in NUMBERS},
        "segments": tuple(source.sample(SEGMENTS, 2)),
        "timezone": "Europe/Berlin",
    }


SCHEMA = {**dict.fromkeys(NUMBERS, ValueType.FLOAT), "segments": ValueType.STRINGS, "timezone": ValueType.STRING}


def contacts(program: Program, now_ms: int, source: random.Random) -> tuple[Contact, ...]:
    """The last month of a customer."""
    made = []
    for i in range(CONTACTS):
        action, sent_ms = source.choice(program.actions), now_ms - source.randrange(30 * DAY_MS)
        made.append(
            Contact(
                decision_id=f"d{i}",
                program=program.name,
                action=action.id,
                message=action.message,
                channel=action.channel,
                tags=action.tags,
                status=source.choice([ContactStatus.SENT, ContactStatus.DELIVERED, ContactStatus.RELEASED]),
                from_ms=sent_ms,
                until_ms=sent_ms,
            )
        )
    return tuple(sorted(made, key=lambda c: c.from_ms))


def model_of(program: Program) -> Scorer:
    """A model of the size that the trainer would make; all it has learned is noise."""
    source = random.Random(1)
    inputs = encoding.model_inputs(program, SCHEMA, live_names(program))
    actions: Sequence[Action] = program.all_actions
    texts = (
        encoding.label(
            encoding.encode(inputs, features(source), actions),
            source.randrange(len(actions)),
            -float(source.random() < 0.1),
            1 / len(actions),
        )
        for _ in range(200)
    )
    version = ModelVersion(program.name, "1", encoding.ENCODER_VERSION)
    return vw.VwScorer.of(vw.serving_copy(vw.fit(texts, "-q UA", seed=1)), version, program.feature_service, inputs)


@dataclass(slots=True)
class Subject:
    """One program at one depth: a decision to run, and how long each took in microseconds."""

    depth: str
    size: Size
    run: Callable[[], object]
    took_us: list[float] = field(default_factory=list)

    def measure(self, seconds: float) -> None:
        """Decide for so long."""
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            self.run()
            self.took_us.append((time.perf_counter() - started) * 1e6)


def subjects_of(size: Size) -> list[Subject]:
    """The same program at three depths."""
    policies = MemoryPolicies()
    policies.publish_program(program_document(size), Audit("bench", 0))
    published = policies.current()
    model, rules = model_of(published.programs[PROGRAM]), CelRules()
    return [
        Subject("guardrails and draw", size, _core(published, rules, {})),
        Subject("core with model", size, _core(published, rules, {PROGRAM: model})),
        Subject("service in memory", size, _service(policies, rules, model)),
    ]


def _core(published: Published, rules: CelRules, models: dict[str, Scorer | None]) -> Callable[[], object]:
    source, now_ms = random.Random(2), ManualClock().now_ms()
    program = published.programs[PROGRAM]
    served = ServedFeatures(FeatureStatus.SERVED, features(source), {"v": now_ms})
    inputs = Inputs(
        DecideRequest("r", "c", (PROGRAM,)),
        (Entrant(program, served),),
        published.policy,
        CustomerState(1, contacts(program, now_ms, source)),
        now_ms,
    )
    moments = itertools.count(now_ms, 1000)  # time passes, or what depends on it alone would be remembered
    return lambda: decide(replace(inputs, now_ms=next(moments)), rules, models, source.random())


def _service(policies: MemoryPolicies, rules: CelRules, model: Scorer) -> Callable[[], object]:
    """Every decision for a new customer, or caps would fill."""
    source, clock, store = random.Random(3), ManualClock(), MemoryFeatures()
    store.define(SERVICE, MemoryView("v", SCHEMA))
    service = Services.over(
        policies=policies,
        features=store,
        ledger=MemoryLedger(),
        budgets=MemoryBudgets(),
        catalogue=MemoryCatalogue({PROGRAM: model}),
        rules=rules,
        clock=clock,
        draw=KeyedDraw(b"3"),
    ).decisions
    numbers = itertools.count()

    def run() -> object:
        customer = f"c{next(numbers)}"
        store.put("v", customer, features(source), clock.now_ms())
        return service.decide(DecideRequest("r", customer, (PROGRAM,)))

    return run


def main(
    rounds: Annotated[int, typer.Option(help="Alternating rounds; the first more, to warm up, is not counted.")] = 10,
    seconds: Annotated[float, typer.Option(help="Length of each round, per program and depth.")] = 0.3,
) -> None:
    """Measure both programs in turns, print a table with ratios; exit 1 if the core's or service's is above target."""
    console = Console()
    pairs = list(zip(subjects_of(SMALL), subjects_of(LARGE), strict=True))
    gc.freeze()
    for number in range(rounds + 1):
        for pair in pairs:
            for subject in pair if number % 2 else reversed(pair):
                subject.measure(seconds)
                if number == 0:
                    subject.took_us.clear()
    table = Table("", SMALL.label, LARGE.label, "ratio", title="microseconds per decision, median")
    ratios = []
    for small, large in pairs:
        medians = [float(np.median(subject.took_us)) for subject in (small, large)]
        ratios.append(medians[1] / medians[0])
        table.add_row(small.depth, *(f"{median:,.0f}" for median in medians), f"× {ratios[-1]:.2f}")
    console.print(table)
    console.print(f"target: at most × {TARGET:g}")
    raise typer.Exit(max(ratios) > TARGET)


if __name__ == "__main__":
    typer.run(main)
