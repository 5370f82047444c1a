"""Simulations on the log of a market that was lived on real parts (`market`)."""
