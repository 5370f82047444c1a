"""What crosses a boundary of processes comes back as it went: records, entries, artifacts of models."""
