"""`nba replay`: an experiment that already happened, every decision a real Decide (docs/replay.md).

May import everything but `cli`, `demo` and `rpc`; only `cli` imports it. Not `core.replay`, which recomputes one
decision. Begin with `run`; `datasets` reads the experiments, `presentation` says which rows become decisions.
"""
