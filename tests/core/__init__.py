"""The pure core, in rooms like its own; `test_decide` is the cycle's function."""
