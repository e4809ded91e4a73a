"""Holds a program back until it is written down which process it is, so that no kill in between leaves it unknown."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from autoresearch.process import Launch

WAIT = """\
import os, sys
gate = int(sys.argv[1])
if os.read(gate, 1):  # nothing comes from one who has died
    os.close(gate)
    os.execvp(sys.argv[2], sys.argv[2:])
"""


class Gate:
    """A pipe at whose end a program waits."""

    def __init__(self) -> None:
        self.far, self.near = os.pipe()

    def launch(self, command: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path) -> Launch:
        """Start a program that waits for `open`, and ends if this process does before that."""
        try:
            return Launch([sys.executable, "-I", "-c", WAIT, str(self.far), *command], cwd, env, log, [self.far])
        except BaseException:
            os.close(self.near)
            raise
        finally:
            os.close(self.far)

    def open(self) -> None:
        """Let it run."""
        with suppress(BrokenPipeError):  # it has been ended
            os.write(self.near, b"\n")
        os.close(self.near)
