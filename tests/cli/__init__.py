"""Commands as people type them, against a real server on adapters in memory."""
