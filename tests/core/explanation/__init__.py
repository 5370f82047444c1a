"""What is said of decisions and customers; that Explain's promises hold is in `tests/application`."""
