"""Encoding, exploration, competition and the draw: hand-computed cases and seeded frequencies."""
