#!/usr/bin/env python3
"""The README's quick start, as written, in a fresh clone with the default home: what a newcomer does first.

Clones this checkout's HEAD into a folder of its own, installs, starts `nba up`, and runs the commands of "Run it and
decide" one by one. Only ports differ from the defaults, so that it can run beside another installation.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STARTS_S, COMMAND_S = 180, 120


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def section(readme: str) -> tuple[str, list[str]]:
    """The program and the commands that the README gives under "Run it and decide"."""
    text = readme.split("## Run it and decide", 1)[1].split("\n## ", 1)[0]
    program = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    commands = next(block for block in blocks if "nba apply" in block)
    assert program is not None, "the README shows no program"
    return program[1], [line for line in commands.splitlines() if line.strip()]


def run(command: str, clone: Path, environment: dict[str, str], expected: int = 0) -> str:
    print(f"$ {command}", flush=True)
    done = subprocess.run(
        shlex.split(command), cwd=clone, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    if done.returncode != expected:
        sys.exit(f"exit code {done.returncode}, expected {expected}\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


def expect(found: bool, what: str, output: str) -> None:
    if not found:
        sys.exit(f"expected {what} in:\n{output}")


def try_it(clone: Path, environment: dict[str, str]) -> None:
    """What the README says to type, and what it says comes of it."""
    program, commands = section((clone / "README.md").read_text())
    (clone / "welcome.yaml").write_text(program)
    decision = ""
    for command in commands:
        name = command.split()[1]
        # The features are not built yet, and doctor says so.
        output = run(command.replace("DECISION_ID", decision), clone, environment, 1 if name == "doctor" else 0)
        if name == "decide":
            ids = re.findall(r"\b[0-9a-f]{2}-[0-9a-f]{27}\b", output)
            expect(bool(ids) and "FEATURES_MISSING" in output and "MODEL_MISSING" in output, "a decision", output)
            decision = ids[0]
        elif name == "explain":
            expect("welcome" in output, "the program", output)
        elif name == "doctor":
            wrong = [line for line in output.splitlines() if "WRONG" in line]
            expect(len(wrong) == 1 and "features" in wrong[0], "features alone to be wrong", output)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "nba"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        subprocess.run(["make", "-s", "setup"], cwd=clone, check=True)
        # As in a fresh shell after `. .venv/bin/activate`: no setting but the ports.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NBA_")}
        environment["PATH"] = f"{clone / '.venv' / 'bin'}:{environment['PATH']}"
        environment |= {"NBA_PORT": free_port(), "NBA_EMBEDDED_REDIS_PORT": free_port()}
        with (Path(folder) / "up.log").open("w+") as log:
            print("$ nba up &", flush=True)
            up = subprocess.Popen(["nba", "up"], cwd=clone, env=environment, stdout=log, stderr=log)
            try:
                deadline = time.monotonic() + STARTS_S
                while "serving on" not in (said := Path(log.name).read_text()):
                    if up.poll() is not None or time.monotonic() > deadline:
                        sys.exit(f"nba up did not start:\n{said}")
                    time.sleep(0.2)
                try_it(clone, environment)
            finally:
                up.send_signal(signal.SIGINT)
                code = up.wait(60)
            print(f"Ctrl-C: exit code {code}")
            left = subprocess.run(["pgrep", "-f", str(clone)], capture_output=True, text=True, check=False).stdout
            if code != 0 or left:
                sys.exit(f"not a clean stop: exit code {code}, processes left: {left.split()}")
    print("the quick start works")


if __name__ == "__main__":
    main()
