"""The whole product on real processes, raced and killed. Slow, and first to be believed."""
