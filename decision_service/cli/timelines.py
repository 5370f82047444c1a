"""`nba timeline`: what happened with one customer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from decision_service.cli.customers import CustomerId
from decision_service.cli.moments import moment_ms
from decision_service.cli.terminal import AsJson, Home, Target, address, print_json, settings
from decision_service.core.model.errors import Unavailable


def timeline(
    customer_id: CustomerId,
    since: Annotated[str, typer.Option("--from", help="A time with zone, such as 2026-12-31T18:00Z.")] = "",
    until: Annotated[str, typer.Option(help="A time with zone; what happened at it is not shown.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most lines: the latest.")] = 100,
    target: Target = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What happened with a customer across programs and channels, newest last: decisions, reports, outcomes, events.

    From the warehouse, with what the service holds beyond: open contacts, suppressions and pauses in force.
    """
    from decision_service.application.timeline import FOREVER_MS
    from decision_service.application.timeline import timeline as tell
    from decision_service.client import DecisionClient
    from decision_service.core.explanation.wording import moment
    from decision_service.operation import bootstrap

    from_ms = moment_ms("--from", since) if since else 0
    until_ms = moment_ms("--until", until) if until else FOREVER_MS
    standing, absent = None, ""
    try:
        with DecisionClient([target or address(home)], retries=0) as client:
            standing = client.get_customer(customer_id)
    except Unavailable as error:
        absent = str(error)
    told = tell(bootstrap.open_warehouse(settings(home)), standing, customer_id, from_ms, until_ms, limit)
    if as_json:
        print_json(
            {
                "customer_id": customer_id,
                "lines": [asdict(line) for line in told.lines],
                "more": told.more,
                "service": absent or "asked",
            }
        )
        return
    if told.more:
        print(f"… earlier lines are left out; the latest {limit} follow (--limit, --from, --until)")
    for line in told.lines:
        print(
            f"{moment(line.at_ms)}  {line.kind:<11}  {line.text}{f'  [{line.decision_id}]' if line.decision_id else ''}"
        )
    if not told.lines:
        print(f"Nothing is known of {customer_id} in this period.")
    if absent:
        print(f"Open contacts, suppressions and pauses are not shown: {absent}")
