"""run CONFIG."""

from autoresearch.commands import searching


def main(config: searching.File) -> int:
    """Search until a limit is reached; the same command goes on with what was cut off."""
    with searching.opened(config) as campaign:
        return searching.run(campaign, campaign.search)
