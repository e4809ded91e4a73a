"""The table of verbs, error printing, exit codes."""

import gc
import os
import sys

import typer

from autoresearch.commands.lazy import Table, group
from autoresearch.errors import AutoresearchError, Terminated

VERBS: Table = {
    "setup": ("setup_", "Begin a tag: branch, records, pins, a measured baseline."),
    "try": ("try_", "Run one attempt: commit, train, score, decide, log, keep or reset."),
    "wait": ("wait_", "Print the state of the attempt in flight, or its verdict when it is there."),
    "analyze": ("analyze_", "Write the analysis of the last attempt into its record and notes.md."),
    "status": ("status_", "Print where the campaign stands, or a search by its configuration."),
    "log": ("log_", "Print the attempts, newest last."),
    "show": ("show_", "Print all about one attempt: reasoning, diff, metrics, verdict, crash."),
    "backtrack": ("backtrack_", "Go back to a known good state."),
    "confirm": ("confirm_", "Measure baseline and champion again, on fresh seeds and on sealed text."),
    "ablate": ("ablate_", "Undo each kept change alone and measure what it is worth."),
    "report": ("report_", "Write the page that tells the night, with its chart; or serve it while the night goes on."),
    "run": ("run_", "Search parameters and code without an agent, as a configuration says."),
    "validate": ("validate_", "Check a configuration as `run` does."),
    "run-one": ("run_one_", "Run one trial of a search by hand."),
    "upload": ("upload_", "Upload the best model of a search to the Hugging Face Hub."),
    "export-config": ("export_config_", "Print a whole configuration of a search."),
    "drive": ("drive_", "Keep a coding agent at work through the night, within limits, and stop it for good reasons."),
    "suggest": ("suggest_", "Suggest values for the numeric constants of train.py, from the measured history."),
    "steer": ("steer_", "Steer the learning rate of live runs, round after round; or run and draw what compares."),
    "hub": ("hub_", "Share commits, results and discussion with other agents, or serve the place where they do."),
    "doctor": ("doctor_", "Check device, data, digests, sandbox, disk, clock and git."),
}


app = group(VERBS)


@app.callback()
def about() -> None:
    """Research that an agent can run all night, and numbers that stand up in the morning."""


def run() -> None:
    """Entry point: the only broad handler; every refusal becomes one line on stderr and an exit code."""
    gc.disable()  # a thousand records are a hundred thousand objects, and none of them is a cycle
    try:
        command = typer.main.get_command(app)  # its own `main` would make 130 of every interrupt
        with command.make_context("python -m autoresearch", sys.argv[1:]) as context:
            code = command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:  # --help, for one
        code = done.exit_code
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
