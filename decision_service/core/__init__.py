"""The decision itself: pure functions over values. No IO, no clock, no randomness of its own.

Imports the standard library and NumPy, and nothing of ours; everything else may import it. At its top are `decide`, the
cycle's pure function, and `replay`, which recomputes its records. Each may import what stands under it: what_if,
explanation, replay, decide, choice, guardrails, model; `estimation` is beside them. Begin with `decide.decide`.
"""
