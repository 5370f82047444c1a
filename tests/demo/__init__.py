"""The simulated retailer, and docs/tour.md command by command."""
