"""validate CONFIG."""

from contextlib import closing

from autoresearch.commands import searching, terminal
from autoresearch.search import campaign
from autoresearch.search.store import Store


def main(config: searching.File) -> None:
    """Make the checks of `run`, and nothing else."""
    found, around = searching.load(config), searching.surroundings()
    searching.check(found, around)
    if found.store_path.exists():
        with closing(Store(found.store_path, readonly=True)) as store:
            campaign.compare(store, found)
    size = found.policy.params.size()
    terminal.print_json(
        {
            "name": found.name,
            "policy": found.policy.type,
            "cells": size,
            "max_concurrency": found.controller.max_concurrency,
            "gpus": around.machine.devices,
            "hardware_fingerprint": around.machine.fingerprint,
            "workdir": str(found.target.workdir),
            "store": str(found.store_path),
        }
    )
