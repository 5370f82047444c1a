"""Simulate before publishing: logged decisions, replayed through what is proposed (docs/simulate.md)."""
