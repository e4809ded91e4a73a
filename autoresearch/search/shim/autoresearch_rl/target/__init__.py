"""Holds `progress`."""
