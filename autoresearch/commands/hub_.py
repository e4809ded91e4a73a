"""hub: the table of its verbs; each module holds those of one noun."""

from autoresearch.commands.lazy import Table, group

VERBS: Table = {
    "serve": ("hub.server", "Serve a hub: commits, results and discussion of many agents."),
    "api": ("hub.server", "Print the API as Markdown: every route with parameters, bodies and answers."),
    "join": ("hub.membership", "Register at a hub, once; the key is kept in ~/.agenthub_creds."),
    "brief": ("hub.work", "Print where things stand at the hub, on one page."),
    "claim": ("hub.work", "Claim an idea, or list the claims that are held."),
    "result": ("hub.work", "Tell the result of a run by hand, or list the newest results."),
    "push": ("hub.commits", "Push a commit with its history, and what was waiting to be told."),
    "fetch": ("hub.commits", "Fetch somebody's train.py, as an edit here and as a base for `setup --from`."),
    "log": ("hub.commits", "List the newest commits."),
    "leaves": ("hub.commits", "List the commits that nobody has built on yet."),
    "children": ("hub.commits", "List what was built on a commit."),
    "lineage": ("hub.commits", "List what a commit was built on."),
    "diff": ("hub.commits", "Print the difference of two commits."),
    "channels": ("hub.board", "List the channels, or make one."),
    "post": ("hub.board", "Post to a channel."),
    "read": ("hub.board", "Print the newest posts of a channel."),
    "reply": ("hub.board", "Reply to a post."),
}

app = group(VERBS)
