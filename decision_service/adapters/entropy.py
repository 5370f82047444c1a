"""Uniform draws from the operating system's entropy."""

from __future__ import annotations

import secrets


def server_entropy() -> float:
    """Uniform over the 2^53 doubles k·2⁻⁵³ in [0, 1)."""
    return secrets.randbits(53) * 2.0**-53
