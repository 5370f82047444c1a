"""The gate's report as a page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from decision_service.core.estimation.ope import Calibration
from tests.training.simulated_log import preferring, simulated_log
from training.dataset import ActivationRate, LogFacts, LoggedDataset
from training.evaluate import CHALLENGER, CHAMPION, evaluate, fixed_policies, uniform_policy
from training.gate import GateRules, judge
from training.report import render_gate_report


class _Outside(HTMLParser):
    """Collects whatever a page would load, and the tags left open."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(name: str = "spring", rules: GateRules | None = None) -> tuple[str, str]:
    log = simulated_log(np.random.default_rng(0), 800, 0.3)
    facts = LogFacts(
        Calibration.by_action(log.actions, log.logged, log.chosen),
        Calibration.by_probability(log.logged, log.chosen),
        (ActivationRate("a0", 150, 149), ActivationRate("a1", 150, 148)),
    )
    dataset = LoggedDataset(name, log.reward, log.rows)
    policies = {
        CHALLENGER: preferring([0, 1, 2]),
        CHAMPION: preferring([1, 2, 0]),
        "uniform": uniform_policy,
        **fixed_policies(dataset),
    }
    evaluation = replace(evaluate(dataset, policies, np.full(log.logged.shape, 0.15)), facts=facts)
    judgement = judge(evaluation, rules)
    return render_gate_report(evaluation, judgement, champion="version 6"), judgement.sentence


def test_the_page_is_self_contained_and_complete() -> None:
    """The sentence, every policy, the checks and four pictures; nothing is loaded from elsewhere; tags balance."""
    html, sentence = page()
    parser = _Outside()
    parser.feed(html)
    assert parser.open == []
    assert len(parser.loads) == 4
    assert all(load.startswith("data:image/png;base64,") for load in parser.loads)
    for text in (sentence, "PROMOTE", "always a3", "version 6", "drawn as logged, by action", "probability at most 5%"):
        assert text in html


def test_a_refusal_says_what_to_do() -> None:
    """A failed check is marked, with its remedy."""
    html, _ = page(rules=GateRules(most_weight=2.0))
    assert 'class="failed">failed' in html
    assert "raise the exploration floor" in html


def test_where_the_data_are_too_few_it_says_so_in_place_of_bounds() -> None:
    """In the table, without a bar that reaches from nowhere to nowhere."""
    log = simulated_log(np.random.default_rng(1), 12, 0.3)
    evaluation = evaluate(
        log, {CHALLENGER: preferring([0, 1, 2]), CHAMPION: uniform_policy}, np.zeros(log.logged.shape)
    )
    assert "[too little data: it could be anything from 0" in render_gate_report(evaluation, judge(evaluation))


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a & "b"'])
def test_names_are_escaped(name: str) -> None:
    """A program's name cannot become markup."""
    html, _ = page(name)
    assert name not in re.sub(r"base64,[^\"]*", "", html)
