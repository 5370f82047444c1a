"""Each guardrail by hand, and by brute force where there are few cases."""
