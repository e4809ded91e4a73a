"""The verbs of `hub`, a module for each noun; the function of a verb has its name."""
