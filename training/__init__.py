"""The learning side: outcome join, dataset, fit, evaluation, gate, promotion (docs/learning-cycle.md).

Imports the core, ports, `contract`, the warehouse's tables and the adapters of Vowpal Wabbit and MLflow; never what
serves, and what serves never imports it. `operation` runs it. Begin with `pipeline`: one run from rows to verdict.
"""
