"""The verbs of `steer`, one module for each noun."""
