"""`nba demo`: a simulated retailer whose weeks run through the whole product, and what came of them.

May import everything but `cli`, `replay` and `rpc`; only `cli` and the load tests import it. Begin with `run`;
`response` is the hidden truth that has to be learned.
"""
