"""Public holidays of a country or a part of it as plain dates, by the `holidays` library, imported when first asked."""

from __future__ import annotations

import warnings
from datetime import date
from functools import lru_cache

from decision_service.core.model.errors import InvalidRequest
from decision_service.documents.fields import nearest

YEARS = range(2020, 2061)
"""Fixed, so that a published document means the same whenever it is read. Some holidays are known for fewer years."""


@lru_cache(maxsize=128)
def dates(name: str) -> frozenset[date]:
    """The holidays of `DE`, `DE-BY` or `US` in YEARS, where they are known.

    Raises:
        InvalidRequest: no such country or part; `field` is empty.
    """
    import holidays

    parts = holidays.list_supported_countries(include_aliases=False)
    country, _, part = name.partition("-")
    if country not in parts:
        close = nearest(country.upper(), parts) if len(country) == 2 else ""
        raise InvalidRequest.of(
            "", f'"{name}" is no country whose holidays are known{close or "; write its two letters, such as DE or US"}'
        )
    if part not in parts[country] and name != country:
        known = parts[country]
        listed = f"; known there: {', '.join(known)}" if known else f"; write `{country}`"
        raise InvalidRequest.of("", f"{country} has no part `{part}` with holidays{nearest(part, known) or listed}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that some are known for fewer years
        return frozenset(holidays.country_holidays(country, subdiv=part or None, years=YEARS))
