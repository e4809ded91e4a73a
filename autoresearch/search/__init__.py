"""Autonomous search: the loop without a coding agent, over parameters and code of any training command."""
