"""steer: the table of its verbs; without one, CONFIG is steered."""

from autoresearch.commands.lazy import Table, group

VERBS: Table = {
    "run": ("steer.rounds", "Run the rounds of a campaign; the same as `steer CONFIG`."),
    "baseline": ("steer.rounds", "Sweep peaks and usual decays under the same guard and budget."),
    "compare": ("steer.comparison", "Compare campaigns: best so far against compute, per seed."),
    "plot": ("steer.pictures", "Draw a campaign: four pictures."),
}

app = group(VERBS, default="run")
