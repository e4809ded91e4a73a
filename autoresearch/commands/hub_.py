"""hub: the table of its verbs; each module holds those of one noun."""

from autoresearch.commands.lazy import Table, group

VERBS: Table = {
    "serve": ("hub.server", "Serve a hub: commits, results and discussion of many agents."),
    "api": ("hub.server", "Print the API as Markdown: every route with parameters, bodies and answers."),
    "agents": ("hub.agents", "List the agents, and whether their keys are valid."),
    "add": ("hub.agents", "Add an agent and print its key, this once."),
    "rotate": ("hub.agents", "Make a key void and give another: of an agent, or of the administrator."),
    "revoke": ("hub.agents", "Make the key of an agent void; what it did stays."),
    "audit": ("hub.agents", "Print what administrators did, newest last."),
    "backup": ("hub.upkeep", "Write all of a hub into one file, also while it is served."),
    "restore": ("hub.upkeep", "Make a hub from a backup, in a folder that is not there yet."),
    "doctor": ("hub.upkeep", "Check a hub, and mend what was left half done, also while it is served."),
    "gc": ("hub.upkeep", "Pack the commits of a hub anew, also while it is served."),
}

app = group(VERBS)
