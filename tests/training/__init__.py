"""Learning on simulated logs whose truth is known, the gate's error rate among it."""
