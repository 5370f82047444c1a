"""Random histories of everything that may happen, against a small and obviously right model. Begin with `histories`."""
