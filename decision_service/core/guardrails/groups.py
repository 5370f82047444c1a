"""Salted-hash groups: stable for a customer, independent between salts, never rebalanced."""

from __future__ import annotations

import hashlib

from decision_service.core.model.program import GlobalHoldout, Group, GroupShares

BUCKETS = 10_000


def bucket(salt: str, customer_id: str) -> int:
    """The customer's bucket in [0, BUCKETS): the first 8 bytes of SHA-256 over `salt:customer_id`, modulo BUCKETS."""
    digest = hashlib.sha256(f"{salt}:{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def assign(
    customer_id: str, shares: GroupShares, holdout: GlobalHoldout, pinned: Group | None = None
) -> tuple[Group, str]:
    """The customer's group in a program, and where it comes from: `global holdout`, `pinned` or `bucket N`.

    The global holdout comes first: no pin overrides it.
    """
    if holdout.buckets and bucket(holdout.salt, customer_id) < holdout.buckets:
        return Group.HOLDOUT, "global holdout"
    if pinned is not None:
        return pinned, "pinned"
    number = bucket(shares.salt, customer_id)
    upper = 0
    for group, size in (
        (Group.TREATMENT, shares.treatment),
        (Group.RANDOM_CONTROL, shares.random_control),
        (Group.BUSINESS_AS_USUAL, shares.business_as_usual),
        (Group.HOLDOUT, shares.holdout),
    ):
        upper += size
        if number < upper:
            return group, f"bucket {number}"
    return Group.HOLDOUT, f"bucket {number}"
