"""Steers the learning rate of live runs, round after round: plan, guard, control, memory."""
