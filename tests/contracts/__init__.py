"""One suite per port, run on every form of it, in memory and real. A new form of a port joins its suite here."""
