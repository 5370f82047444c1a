"""Models from an MLflow registry, checked and swapped while serving.

Imports `contract.model_artifact`, the core and the ports; MLflow itself only on use, as it takes seconds. Used by
`operation`; `store` by training too. Begin with `catalogue`.
"""
