"""Statistics: off-policy estimators and intervals, as sums that merge by `+`.

Imports `core.model` alone, for its errors. Used by training, simulation, audit, demo and replay; nothing that decides
uses it. Begin with `ope`.
"""
