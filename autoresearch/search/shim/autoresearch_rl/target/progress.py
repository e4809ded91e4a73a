"""emit_progress for training scripts: standard library only, any Python from 3.8; by hand it does nothing."""

import json
import math
import os
import sys
import time

CANCEL_EXIT_CODE = 42
PROGRESS_ENV = "AR_PROGRESS_FILE"
CONTROL_ENV = "AR_CONTROL_FILE"
BEGUN = time.monotonic()


def emit_progress(*, step, step_target=None, metrics=None, iter=None, exit_on_cancel=True):
    """Report a step, and leave with exit code 42 when the trial is cancelled.

    Args:
        step: that was just finished.
        step_target: the last one; without it nothing is forecast.
        metrics: numbers by name; what is not finite is left out.
        iter: number of the trial, where it is not the supervisor's.
        exit_on_cancel: False leaves that to the caller, who is told by the return value.

    Returns:
        Whether to go on.
    """
    path = os.environ.get(PROGRESS_ENV)
    if not path:
        return True
    report = {
        "iter": int(os.environ.get("AR_ITER") or 0) if iter is None else iter,
        "step": _number(step),
        "step_target": _number(step_target),
        "elapsed_s": round(time.monotonic() - BEGUN, 3),
        "metrics": {str(name): value for name, value in _finite(metrics or {})},
        "timestamp": time.time(),
    }
    try:
        with open(path, "a") as file:
            file.write(json.dumps(report) + "\n")
    except OSError:
        pass  # a full disk must not end the training
    if not _is_cancelled():
        return True
    if exit_on_cancel:
        print("cancelled on request", flush=True)
        sys.exit(CANCEL_EXIT_CODE)
    return False


def _finite(metrics):
    for name, value in dict(metrics).items():
        number = _number(value)
        if number is not None:
            yield name, number


def _number(value):
    """A finite number, also of a tensor of one; None for anything else."""
    try:
        number = value if type(value) in (int, float) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _is_cancelled():
    path = os.environ.get(CONTROL_ENV)
    if not path or not os.path.exists(path):
        return False
    try:
        with open(path) as file:
            command = json.load(file)
    except (OSError, ValueError):
        return False
    return isinstance(command, dict) and (command.get("action") == "cancel" or command.get("cancel") is True)
