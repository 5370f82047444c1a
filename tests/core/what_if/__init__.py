"""What differs from the log, in contacts and budgets and in what outcomes did, by hand."""
