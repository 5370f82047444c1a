"""Rules of the code base that no linter looks after: words, rooms, documents in step with the code."""
