"""Features from Feast's online store, by one read of Redis where that is what holds them.

Imports `adapters.redis.wire` and what all adapters may; Feast itself only on use, as it takes seconds. Used by
`operation` and `feature_repo`. Begin with `features`; `plan` says what to read and how it is laid out.
"""
