"""Redis: the ledger and its log, budgets, published documents, signals between processes, simulations; and a server.

Imports what all adapters may. Used by `operation`; `wire` by `adapters.feast` too, so that both are read at once. Begin
with `ledger`, whose docstring has the keys, then `wire`, by which all of them speak.
"""
