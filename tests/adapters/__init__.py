"""What is particular to one outside system; what every form of a port does is in `tests/contracts`."""
