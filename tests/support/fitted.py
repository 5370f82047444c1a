"""Small real models for tests: two segments, each of which likes another action."""

from __future__ import annotations

import random
from pathlib import Path

from decision_service.adapters import vw
from decision_service.contract.model_artifact import Manifest, write_artifact
from decision_service.core.choice.encoding import encode, label
from decision_service.core.model.program import NO_ACTION_ACTION, Action, Exploration
from decision_service.core.model.reward import RewardDefinition
from decision_service.core.model.values import Value

INPUTS = ("age", "segment", "tags")
ACTIONS = (
    Action("email_a", "email", "a", frozenset({"promo"}), {"discount": 0.1}),
    Action("push_b", "push", "b"),
    NO_ACTION_ACTION,
)
OPTIONS = "-q UA -l 0.5"


def customers(count: int, seed: int = 0) -> list[dict[str, Value | None]]:
    """Shared values; segment x likes email_a, segment y push_b."""
    source = random.Random(seed)
    return [
        {
            "age": source.choice([None, source.randint(18, 90)]),
            "segment": source.choice("xy"),
            "tags": tuple(source.sample(["news", "vip", "a|b c:d"], source.randint(0, 2))),
        }
        for _ in range(count)
    ]


def examples(count: int, seed: int = 0) -> list[str]:
    """Labelled text of uniformly random decisions."""
    source = random.Random(seed + 1)
    texts = []
    for shared in customers(count, seed):
        chosen = source.randrange(len(ACTIONS))
        liked = "email_a" if shared["segment"] == "x" else "push_b"
        reward = float(ACTIONS[chosen].id == liked)
        texts.append(label(encode(INPUTS, shared, ACTIONS), chosen, -reward, 1 / len(ACTIONS)))
    return texts


MANIFEST = Manifest(
    program="welcome",
    program_version=1,
    feature_service="customer_v1",
    inputs=INPUTS,
    actions=tuple(action.id for action in ACTIONS),
    reward=RewardDefinition({"visit": 1.0}, 3600),
    exploration=Exploration(),
    vw_options=OPTIONS,
    passes=1,
    seed=1,
    rows=500,
    trained_from_ms=0,
    trained_until_ms=1_700_000_000_000,
    dataset_digest="d" * 64,
    created_at_ms=1_700_000_000_000,
    action_rows={"email_a": 170, "push_b": 160, "NO_ACTION": 170},
)


def write_fitted(folder: Path, seed: int = 0, manifest: Manifest = MANIFEST) -> str:
    """Fit a model to 500 random decisions and write its artifact; the digest."""
    model = vw.fit(examples(500, seed), OPTIONS, seed=1)
    golden = [(shared, ACTIONS) for shared in customers(5, seed + 7)]
    return write_artifact(folder, manifest, model, vw.serving_copy(model), golden, vw.VwScorer)
