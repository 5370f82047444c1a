"""The audit on small warehouses written by hand: what is planted is found, and nothing else."""
