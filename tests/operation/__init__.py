"""Settings, wiring, supervision, and what is read of the past."""
