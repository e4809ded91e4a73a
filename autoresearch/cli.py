"""The table of verbs, error printing, exit codes."""

import gc
import importlib
import os
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from autoresearch.errors import AutoresearchError, Terminated

VERBS = {
    "setup": "Begin a tag: branch, records, pins, a measured baseline.",
    "try": "Run one attempt: commit, train, score, decide, log, keep or reset.",
    "wait": "Print the state of the attempt in flight, or its verdict when it is there.",
    "analyze": "Write the analysis of the last attempt into its record and notes.md.",
    "status": "Print where the campaign stands.",
    "log": "Print the attempts, newest last.",
    "show": "Print all about one attempt: reasoning, diff, metrics, verdict, crash.",
    "backtrack": "Go back to a known good state.",
    "confirm": "Measure baseline and champion again, on fresh seeds and on sealed text.",
    "ablate": "Undo each kept change alone and measure what it is worth.",
    "report": "Write the page that tells the night, with its chart; or serve it while the night goes on.",
    "doctor": "Check device, data, digests, sandbox, disk, clock and git.",
}


class Verbs(TyperGroup):
    """Imports a verb's module only when it is called, so that each starts as fast as it can."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a verb; for the help of the table, its name and help alone."""
        if cmd_name not in VERBS:
            return None
        if cmd_name not in sys.argv[1:]:
            return TyperCommand(cmd_name, help=VERBS[cmd_name])
        module = importlib.import_module(f"autoresearch.commands.{cmd_name}_")
        verb = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        verb.command(cmd_name, help=VERBS[cmd_name])(module.main)
        return typer.main.get_command(verb)


app = typer.Typer(cls=Verbs, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def about() -> None:
    """Research that an agent can run all night, and numbers that stand up in the morning."""


def run() -> None:
    """Entry point: the only broad handler; every refusal becomes one line on stderr and an exit code."""
    gc.disable()  # a thousand records are a hundred thousand objects, and none of them is a cycle
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except AutoresearchError as error:
        code = error.exit_code
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    except Terminated:
        code = 143
        print("terminated", file=sys.stderr)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
        print("interrupted", file=sys.stderr)
    except BrokenPipeError:  # `log | head`: the reader has seen enough
        code = 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        code = 1
        print(f"{type(error).__name__}: {error}; what was measured is kept, mend this and repeat", file=sys.stderr)
    except Exception as error:
        if not hasattr(error, "show"):  # what typer raises for wrong usage knows how to show itself
            raise
        code = 2
        error.show()
    sys.exit(code if isinstance(code, int) else 0)
