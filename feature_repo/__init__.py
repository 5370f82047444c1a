"""The feature repository: Feast definitions, the SQL that fills them, the job that runs it (feature_repo/README.md).

Imports the ports, the core, `adapters.feast` and the warehouse's tables; `operation` and `replay` run `build`.
Nothing that serves imports it: workers read the registry that it applied. Begin with `definitions`, then `build`.
"""
