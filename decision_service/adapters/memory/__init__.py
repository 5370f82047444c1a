"""Every port in memory, for tests and benchmarks: held to the suites of `tests/contracts` like the real ones.

Imports what all adapters may, and `adapters.feast.plan` for what missing and stale mean. Nothing that serves imports
it. Begin with `ledger`.
"""
