"""hub: the table of its verbs; each module holds those of one noun."""

from autoresearch.commands.lazy import Table, group

VERBS: Table = {
    "join": ("hub.membership", "Register at a hub, once; the key is kept in ~/.agenthub_creds."),
    "brief": ("hub.work", "Print where things stand at the hub, on one page."),
    "claim": ("hub.work", "Claim an idea, or list the claims that are held."),
    "result": ("hub.work", "Tell the result of a run by hand, or list the newest results."),
    "queue": ("hub.waiting", "List what waits to be told, and decide about what is for another hub."),
    "push": ("hub.commits", "Push a commit with its history, and what was waiting to be told."),
    "fetch": ("hub.commits", "Fetch somebody's train.py, as an edit in this tag and as a base for `setup --from`."),
    "log": ("hub.commits", "List the newest commits."),
    "leaves": ("hub.commits", "List the commits that nobody has built on yet."),
    "children": ("hub.commits", "List what was built on a commit."),
    "lineage": ("hub.commits", "List what a commit was built on."),
    "diff": ("hub.commits", "Print the difference of two commits."),
    "channels": ("hub.board", "List the channels, or make one."),
    "post": ("hub.board", "Post to a channel."),
    "read": ("hub.board", "Print the newest posts of a channel."),
    "reply": ("hub.board", "Reply to a post."),
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
