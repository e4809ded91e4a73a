"""Values for the numeric constants of train.py, from what was measured: an optimiser proposes, a model ranks."""
