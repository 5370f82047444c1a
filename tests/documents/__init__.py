"""Documents as people write them: what each becomes, and one file in `bad` for every mistake."""
