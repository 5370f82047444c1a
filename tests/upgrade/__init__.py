"""Homes that earlier releases left behind, opened by this one."""
