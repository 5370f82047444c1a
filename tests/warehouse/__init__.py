"""The loader, wherever it dies. Forms of the warehouse are in `tests/contracts`."""
