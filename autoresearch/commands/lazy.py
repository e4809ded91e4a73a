"""A group of verbs whose modules are imported only when they are called, so that each starts as fast as it can."""

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

Table = dict[str, tuple[str, str]]
"""By name of the verb: the module below `autoresearch.commands` that holds it, and its help."""


def group(table: Table, default: str = "") -> typer.Typer:
    """A command line of these verbs; the function of a verb is `main` in a module of its own, else it has its name.

    Args:
        default: the verb of a first word that is neither one nor an option; empty: such a word is refused.
    """

    class Verbs(TyperGroup):
        """The verbs of one table."""

        def list_commands(self, ctx: Any) -> list[str]:
            """Verbs in the order of the table."""
            return list(table)

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            """The verb that is meant."""
            if default and args[0] not in table and not args[0].startswith("-"):
                return default, load(table, default), args
            return super().resolve_command(ctx, args)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            """The command of a verb; for the help of the table, its name and help alone."""
            if cmd_name not in table:
                return None
            if cmd_name not in sys.argv[1:]:
                return TyperCommand(cmd_name, help=table[cmd_name][1])
            return load(table, cmd_name)

    return typer.Typer(cls=Verbs, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


def load(table: Table, name: str) -> Any:
    """The command of a verb, with its module imported."""
    place, about = table[name]
    module = importlib.import_module(f"autoresearch.commands.{place}")
    if hasattr(module, "app"):
        nested: typer.Typer = module.app
        nested.callback(help=about)(_nothing)
        return typer.main.get_command(nested)
    one = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    one.command(name, help=about)(getattr(module, "main", None) or getattr(module, name.replace("-", "_")))
    return typer.main.get_command(one)


def _nothing() -> None:
    pass
