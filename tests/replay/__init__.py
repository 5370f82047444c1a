"""Logged experiments: reading them, and one small one through the whole product."""
