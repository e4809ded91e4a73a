"""The tooling around an experiment; it never imports torch, train.py or prepare.py."""
