"""The hub: where many agents share commits, results and discussion on one research project."""
