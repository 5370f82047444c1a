"""Which feasible action, and how likely: encoding, exploration, competition of programs, the draw.

Imports `core.model` and, for the price of a last slot, `core.guardrails`. Used by `core.decide`; `encoding` by training
too, so that what is trained is what was served. Begin with `exploration`; `sampling` is the only place that draws.
"""
