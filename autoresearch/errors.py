"""Every refusal that a person or an agent is meant to read.

AutoresearchError      1
├── Refused            1    a rule says no; nothing was changed
│   └── Busy           1    another process is at it; names the attempt
├── Damaged            1    a record, row or reference is not what was written
├── GitFailed          1    git itself said no
├── BadConfig          2    autoresearch.toml, an option or a variable is wrong
├── HubError           1    a hub said no; carries the HTTP status
│   └── Away           1    nobody answered there, or not in time
├── ChatFailed         1    a language model gave no usable answer; carries whether asking again may help
├── NoGoodTrial        3    nothing was measured that could be used
└── Interrupted        130  the person stopped it

Terminated is beside the tree: a KeyboardInterrupt that SIGTERM or SIGHUP raises (exit code 143).
"""

from typing import Any


class AutoresearchError(Exception):
    """Root: its message says what must hold, what was found, and what mends it."""

    exit_code = 1


class Refused(AutoresearchError):
    """A rule says no; nothing was changed."""


class Busy(Refused):
    """Another process is at it."""


class Damaged(AutoresearchError):
    """A record, row or reference is not what was written."""


class GitFailed(AutoresearchError):
    """git said no."""


class BadConfig(AutoresearchError):
    """Configuration, an option or a variable is wrong."""

    exit_code = 2


class NoGoodTrial(AutoresearchError):
    """Nothing was measured that could be used."""

    exit_code = 3


class HubError(AutoresearchError):
    """A hub said no: raised where it decides, and again where its answer is read."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None, **more: object):
        super().__init__(message)
        self.status = status
        """HTTP status, 400 to 599."""
        self.retry_after_s = retry_after_s
        """Seconds after which to try again; None where that would not help."""
        self.more: dict[str, Any] = dict(more)
        """What stands in the answer beside the message."""


class Away(HubError):
    """Nobody answered at a hub, or not in time."""

    def __init__(self, message: str):
        super().__init__(504, message)


class ChatFailed(AutoresearchError):
    """A language model gave no usable answer."""

    def __init__(self, message: str, status: str, lasting: bool = False):
        super().__init__(message)
        self.status = status
        """One word or two for records: timeout, connection, invalid, or the HTTP status as `http 503`."""
        self.lasting = lasting
        """Whether the next question will fail as well, until somebody changes the configuration."""


class Terminated(KeyboardInterrupt):
    """Asked to end by a signal: goes the way of Ctrl-C."""


class Interrupted(AutoresearchError):
    """The person stopped it."""

    exit_code = 130
