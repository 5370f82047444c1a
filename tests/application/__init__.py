"""The services on adapters in memory. Begin with `test_decisions`; every reason has a scenario in `test_reasons`."""
