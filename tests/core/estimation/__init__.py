"""Estimators and intervals: hand-computed values, laws, coverage."""
