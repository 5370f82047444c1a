"""The product: deciding which message on which channel, or nothing, and all that runs around it.

Nothing is exported here; import from the rooms. Each says in its docstring what it holds and whom it may import;
docs/architecture.md has them in one picture. Begin with `core.decide`, then `application.decisions`.
"""
