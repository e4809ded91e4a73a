"""The night watch: keeps any coding agent at work, and stops it for good reasons."""
