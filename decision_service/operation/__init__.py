"""What runs: settings, the one place that wires, the processes and who supervises them, jobs, diagnosis.

May import everything but `cli`, `demo` and `replay`, which are what uses it. Heavy imports happen inside functions.
Begin with `settings`, then `bootstrap`: every adapter that is used is opened there.
"""
