"""The warehouse's side of the log: what the tables hold, how entries become rows, and the loader that moves them.

Imports the core, the ports and, for what a row keeps of a message, `contract`; never an adapter. Used by adapters,
audit, training and `feature_repo`. Begin with `tables`: a column is declared there once.
"""
