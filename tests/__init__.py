"""The tests, in rooms named like those of the code; what belongs to no one room is in folders named for what is shown.

`contracts`: every form of a port. `state`: random histories against a small model. `e2e`: races and crashes on real
processes. `architecture`: rules of the code base itself. `support` is imported by all and tests nothing.
"""
