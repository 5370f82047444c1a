"""Simulate before publishing: logged decisions, replayed through what is proposed (docs/simulate.md).

Imports the core (`core.what_if` is its heart), ports, `contract`, `documents`, and of training the dataset that
estimates rest on; never an adapter. Used by `operation`; `application` uses `proposal`. Begin with `run`.
"""
