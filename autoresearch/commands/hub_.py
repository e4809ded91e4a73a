"""hub: the table of its verbs; each module holds those of one noun."""

from autoresearch.commands.lazy import Table, group

VERBS: Table = {
    "serve": ("hub.server", "Serve a hub: commits, results and discussion of many agents."),
    "api": ("hub.server", "Print the API as Markdown: every route with parameters, bodies and answers."),
}

app = group(VERBS)
