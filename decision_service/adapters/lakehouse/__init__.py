"""The warehouse as a folder of Delta tables: the `Warehouse` port's default form.

Imports `warehouse` for its tables and SQL engine. Used by `operation` alone; no Decide worker opens it. Begin with
`delta`.
"""
