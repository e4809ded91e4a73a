"""One module per verb: the only place that prints and that reads argv, environment, clock and working folder."""
