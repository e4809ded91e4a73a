"""What `--hub` adds to setup and try: a claim before, everything told after; where the hub is away, work goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from autoresearch import arena
from autoresearch.attempt import begin, setup, trial
from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import terminal
from autoresearch.commands.hub import link
from autoresearch.errors import HubError, Refused
from autoresearch.hub.client import claim, share
from autoresearch.hub.client.api import Patience
from autoresearch.hub.client.queue import Queue
from autoresearch.hub.limits import HOUR_S

Hub = Annotated[bool, typer.Option("--hub", help="Share it: claim the idea, tell the result, push a keep.")]
Anyway = Annotated[bool, typer.Option("--anyway", help="Try it though another agent has claimed it.")]
WAIT_S = 2.0  # what an attempt loses at most to a hub that does not answer, in sum
TRAIN = arena.SHARED[0]


class Partner:
    """The hub beside one attempt, which loses little time to it."""

    def __init__(self, campaign: Campaign, wait_s: float = WAIT_S):
        """Find the hub, without asking it anything.

        Args:
            wait_s: time that its calls may take in sum.

        Raises:
            Refused: no credentials, or commits that are not for a hub.
        """
        if not campaign.arena.own:
            raise Refused(f"a hub shares {', '.join(arena.SHARED)}, but {arena.NAME} says that this is another arena")
        self.campaign, self.queue = campaign, Queue(campaign.repo.root)
        self.api = link.connect(Patience(wait_s, wait_s / 2))

    @contextmanager
    def around_start(self, idea: begin.Idea, anyway: bool) -> Iterator[None]:
        """Claim an idea and promise to tell of it, while the block begins the attempt; take both back if it does not.

        Raises:
            Refused: another agent holds it, or the tag is not made for a hub.
        """
        campaign = self.campaign
        if not setup.is_shared(campaign, campaign.repo.resolve("HEAD")):
            raise Refused(
                f"the commits of this tag must hold {', '.join(arena.SHARED)} alone to be shared; "
                "begin one with `uv run -m autoresearch setup TAG --hub`"
            )
        number = self._claim(idea, anyway)
        try:
            with self.promised(campaign.ledger.numbers()[-1], number):
                yield
        except BaseException:
            self._release(number)
            raise

    @contextmanager
    def promised(self, after: int, number: int | None = None) -> Iterator[None]:
        """Promise to tell of the attempt that the block begins, whatever happens to this process then.

        Args:
            after: number of the attempt before it.
            number: of its claim.
        """
        promise = share.promise(self.campaign.tag, after, number).to(self.api.who)
        self.queue.drop(promise.key)
        self.queue.add(promise)
        try:
            yield
        except BaseException:
            self.queue.drop(promise.key)
            raise

    def tell(self) -> None:
        """Send what there is to tell."""
        link.send_waiting(self.api, self.campaign.repo)

    def _claim(self, idea: begin.Idea, anyway: bool) -> int | None:
        """Number of the claim; None where none could be made, which stops nobody, and nor does what is similar."""
        try:
            claimed = claim.claim(self.api, self._wish(idea))
        except HubError as error:
            terminal.say(f"hub: {link.plain(str(error))}; working on without a claim")
            return None
        for one in claimed.similar:
            terminal.say(f"hub: similar, {link.plain(one)}")
        if claimed.why_not and not anyway:
            self._release(claimed.number)
            why_not = link.plain(claimed.why_not)
            raise Refused(f"{why_not}; take another idea, or `--anyway` if yours differs after all")
        return claimed.number

    def _wish(self, idea: begin.Idea) -> dict[str, object]:
        """What is to be claimed: long enough for all its runs, an hour at most."""
        campaign = self.campaign
        champion = campaign.champion(campaign.attempts()).commit
        sources, _ = begin.edited_sources(campaign, champion)
        before, (_, base) = campaign.repo.show(champion, TRAIN), campaign.repo.entry(champion, TRAIN)
        runs_s = (idea.max_runs + 2) * (campaign.budget_s + trial.START_UP_S)  # two of them for the champion
        return {
            "key": share.claim_key(before, sources[TRAIN], idea.description, base),
            "description": idea.description,
            "parent": champion,
            "platform": share.short_platform(campaign.pins.identity.get("platform", "")),
            "ttl_s": min(HOUR_S, int(runs_s)),
        }

    def _release(self, number: int | None) -> None:
        """Give a claim back, if the hub is there to hear it; else it runs out."""
        if number is not None:
            try:
                claim.release(self.api, number)
            except HubError as error:
                terminal.say(f"hub: {link.plain(str(error))}; the claim runs out by itself")
