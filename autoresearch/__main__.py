"""`python -m autoresearch VERB`."""

from autoresearch.cli import run

if __name__ == "__main__":
    run()
