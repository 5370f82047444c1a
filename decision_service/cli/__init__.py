"""`nba`: every arrow of the two cycles as a command. Heavy imports happen inside commands, so `nba --help` is quick.

May import everything; nothing imports it. A command is a function in the module of its subject, listed below;
`terminal` has what all of them print with.

Exit codes: 0 done, 1 the command failed or found something wrong, 2 the command line or its input is wrong,
3 a part that is needed does not answer.
"""

from __future__ import annotations

import logging
import os
import sys

import typer

from decision_service.cli import (
    auditing,
    customers,
    decisions,
    experiments,
    learning,
    pausing,
    programs,
    results,
    running,
    simulating,
    timelines,
)
from decision_service.cli.ledger import ledger
from decision_service.cli.terminal import FAILED, INVALID, UNAVAILABLE, complain
from decision_service.core.model.errors import InvalidRequest, NbaError, Unavailable

app = typer.Typer(
    name="nba",
    help="Next-best-action decisioning: which message on which channel, or nothing — inside your guardrails.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(ledger, name="ledger", rich_help_panel="Single processes")
features = typer.Typer(help="Features from the warehouse into the online store.", no_args_is_help=True)
app.add_typer(features, name="features", rich_help_panel="Learn")

for function, panel in (
    (experiments.demo, "Start here"),
    (running.up, "Start here"),
    (running.doctor, "Start here"),
    (decisions.decide, "Decide"),
    (decisions.explain, "Decide"),
    (decisions.confirm, "Decide"),
    (decisions.status, "Decide"),
    (auditing.audit, "Decide"),
    (programs.validate, "Programs"),
    (programs.diff, "Programs"),
    (programs.apply, "Programs"),
    (pausing.pause, "Programs"),
    (pausing.resume, "Programs"),
    (pausing.unpublish, "Programs"),
    (programs.history, "Programs"),
    (programs.rollback, "Programs"),
    (programs.schema, "Programs"),
    (simulating.simulate, "Programs"),
    (results.results, "Programs"),
    (customers.customer, "Customers"),
    (timelines.timeline, "Customers"),
    (customers.suppress, "Customers"),
    (customers.unsuppress, "Customers"),
    (customers.suppress_import, "Customers"),
    (learning.load, "Learn"),
    (learning.join, "Learn"),
    (learning.train, "Learn"),
    (learning.promote, "Learn"),
    (learning.demote, "Learn"),
    (experiments.replay, "Learn"),
    (running.worker, "Single processes"),
    (running.loader, "Single processes"),
    (running.trainer, "Single processes"),
    (running.simulator, "Single processes"),
):
    app.command(rich_help_panel=panel)(function)
features.command("build")(learning.build_features)


def main() -> None:
    """Run one command and turn errors into one clear message and an exit code."""
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "true")
    os.environ.setdefault("FEAST_USAGE", "False")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("decision_service").setLevel(os.environ.get("NBA_LOG_LEVEL", "INFO"))
    try:
        app()
    except InvalidRequest as error:
        complain("The input is wrong", error)
        sys.exit(INVALID)
    except Unavailable as error:
        complain("A part does not answer", error)
        sys.exit(UNAVAILABLE)
    except NbaError as error:
        complain("It did not work", error)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
