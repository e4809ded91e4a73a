"""`python -m autoresearch VERB`."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:  # first on the path is the working folder: a json.py that lies there is not json
        del sys.path[0]
    from autoresearch.cli import run

    run()
