"""`nba results`: what programs brought, per customer, group against group."""

from __future__ import annotations

import math
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from decision_service.cli.moments import day_ms
from decision_service.cli.terminal import AsJson, Home, print_json, print_table, settings

if TYPE_CHECKING:
    from decision_service.core.estimation.intervals import Interval
    from decision_service.warehouse.comparison import Comparison, Difference


def results(
    program: Annotated[str, typer.Argument(help="One program; all of them by default.")] = "",
    since: Annotated[str, typer.Option(help="Only what customers did from this UTC day on, such as 2026-12-31.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Compare groups: what a customer brings, with 95 % intervals, whatever was decided for her or sent to her.

    A customer counts from the first request that named the program while she was in its audience (docs/results.md).
    """
    from decision_service.operation import bootstrap
    from decision_service.warehouse.comparison import compare_groups

    since_ms = day_ms("--since", since) if since else 0
    compared = compare_groups(bootstrap.open_warehouse(settings(home)), program, since_ms)
    if as_json:
        print_json([comparison.to_json() for comparison in compared])
        return
    for comparison in compared:
        _show(comparison, since)
    if not compared:
        print(f"Nobody was exposed to {program or 'any program'} yet, as far as is loaded and joined.")
        known = [comparison.program for comparison in compare_groups(bootstrap.open_warehouse(settings(home)))]
        if known:
            print(f"There are results of {', '.join(known)}.")
        else:
            print("Run `nba load` and `nba join`; `nba up` does so by itself. See also `--home`.")


def _show(comparison: Comparison, since: str) -> None:
    print_table(
        f"{comparison.program}: reward per customer since {since or 'her first exposure'}",
        ("group", "customers", "with an outcome", "per customer (95 %)"),
        [(g.group, g.customers, g.customers_with_outcome, amount(g.reward)) for g in comparison.groups],
    )
    for difference in comparison.differences:
        print(fill(_sentence(difference), 80))
        print(f"    This is {difference.question}.")
    if not comparison.differences:
        print("There is no other group to compare with: see `groups` of the program.")
    print()


def _sentence(difference: Difference) -> str:
    found = difference.reward
    if found is None:
        return f"{difference.group} and {difference.against}: too few customers or outcomes to say."
    if 0.0 in found:
        return f"{difference.group} and {difference.against} cannot be told apart: {amount(found, '+')}."
    more = "more" if found.mean > 0 else "less"
    size = found if found.mean > 0 else type(found)(-found.mean, -found.high, -found.low, found.n)
    return f"{difference.group} brings {amount(size)} {more} than {difference.against}."


def amount(interval: Interval, sign: str = "") -> str:
    """A mean and its interval, with as many decimals as show two digits of its width, or why there is none."""
    if interval.withheld:
        return interval.text(f"{sign}.4g")
    width = interval.high - interval.low
    if not 0 < width < math.inf:
        return f"{interval.mean:{sign}.4g}"
    # `z`: what rounds to nothing has no minus.
    form = f"{sign}z,.{max(0, 1 - math.floor(math.log10(width)))}f"
    mean, low, high = (format(end, form) for end in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low}, {high}]"
