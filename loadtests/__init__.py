"""How fast it is: Decide beside a server that does nothing, large programs beside small ones, users in open loop.

May import everything; nothing but tests imports it. Begin with `bench`, which is `make bench`.
"""
