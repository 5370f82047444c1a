"""What may be sent at all: one module per kind of guardrail, and `shrink`, which asks them in their order.

Imports `core.model` alone. Used by `core.decide`, by what explains and simulates, and by the ledgers, which ask
`effects` and `live` what a report or outcome changes at once. Begin with `shrink.Guardrails.check`.
"""
