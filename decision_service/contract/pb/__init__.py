"""Generated from `proto/nba/v1` by `make proto`: change the .proto files, never these. Imports nothing of ours.

Used by `contract`, `rpc`, the client and load tests; everybody else speaks of core values. Begin with the .proto files.
"""
