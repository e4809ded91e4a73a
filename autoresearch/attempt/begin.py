"""Begin an attempt: check the rules, commit the edit, open the record."""

from dataclasses import dataclass, field

from autoresearch import knobs, signals
from autoresearch.attempt import static
from autoresearch.attempt.campaign import Campaign, seed_of
from autoresearch.errors import GitFailed, Refused
from autoresearch.records import Attempt, Crash, Reasoning, State, Status, Trial


@dataclass(frozen=True)
class Idea:
    """What an agent states about an attempt."""

    description: str
    reasoning: Reasoning = field(default_factory=Reasoning)
    simpler: bool = False
    once: bool = False
    max_runs: int = 3
    device: str = "default"


def begin(campaign: Campaign, idea: Idea, started: str) -> Attempt:
    """Commit the edited files, or take the commit that is there, and write the first state of the record.

    Raises:
        Refused: nothing to try, files beyond the mutable ones, or code that was tried before; nothing was changed.
    """
    campaign.check_pins()
    attempts = campaign.attempts()
    campaign.ledger.check_chain(attempts)
    list(campaign.ledger.rows())  # a damaged table is refused before anything is trained
    champion = campaign.champion(attempts)
    sources, is_committed = edited_sources(campaign, champion.commit)
    code, changed = describe(campaign, sources, champion.commit)
    refuse_repeats(attempts, code)
    commit = campaign.repo.resolve("HEAD")
    if not is_committed:
        campaign.repo.run("reset", "--quiet", "--soft", champion.commit)
        commit = campaign.repo.commit(campaign.arena.mutable, idea.description)
    number = next_number(campaign, attempts, commit)
    campaign.repo.keep_reachable(campaign.ref(number), commit)
    attempt = Attempt(
        tag=campaign.tag,
        id=number,
        state=State.STARTED,
        commit=commit,
        parent=champion.commit,
        description=idea.description,
        reasoning=idea.reasoning,
        simpler=idea.simpler,
        once=idea.once,
        max_runs=idea.max_runs,
        device=idea.device,
        regime=campaign.pins.regime,
        code=code,
        changed=changed,
        previous=campaign.ledger.digest(attempts[-1].id),
        started=started,
    )
    campaign.record(attempt)
    return attempt


def next_number(campaign: Campaign, attempts: list[Attempt], commit: str) -> int:
    """The number after the last one, beyond references of attempts that were cut off before they had a record."""
    number = attempts[-1].id + 1
    taken = campaign.repo.refs(f"refs/autoresearch/{campaign.tag}/")
    while taken.get(campaign.ref(number), commit) != commit:
        number += 1
    return number


def edited_sources(campaign: Campaign, champion: str) -> tuple[dict[str, str], bool]:
    """Text of the mutable files of the attempt, and whether it already is a commit on top of the champion.

    Raises:
        Refused: see `begin`.
    """
    repo, mutable = campaign.repo, campaign.arena.mutable
    head = repo.resolve("HEAD")
    if missing := [path for path in mutable if not (repo.root / path).is_file()]:
        raise Refused(f"{', '.join(missing)} must exist; `git checkout {champion[:7]} -- {' '.join(missing)}`")
    dirty = repo.dirty(mutable)  # edits in other files are no part of the attempt, which is a commit of these alone
    if head == champion and not dirty:
        raise Refused(f"nothing to try: {', '.join(mutable)} equal the champion {champion[:7]}; edit first")
    if head != champion and repo.parents(head) != [champion]:
        raise Refused(
            f"the branch must be at the champion {champion[:7]} or one commit ahead but is at {head[:7]}; "
            f"undo your commits with `git reset --keep {champion[:7]}`, or squash them into one"
        )
    if beyond := sorted(set(repo.changed(champion, head)) - set(mutable)):
        raise Refused(
            f"an attempt may change {', '.join(mutable)} alone but this commit changes {', '.join(beyond)}; "
            f"`git reset --keep {champion[:7]}`, then try again without them"
        )
    if dirty:  # with a commit below them, which `try` itself leaves when it is killed before its record, they are one
        return {path: (repo.root / path).read_text(errors="replace") for path in mutable}, False
    return {path: repo.show(head, path) for path in mutable}, True


def describe(campaign: Campaign, sources: dict[str, str], champion: str) -> tuple[str, list[str]]:
    """Digest of the code apart from comments and layout, and the parts that differ from the champion."""
    digests, changed = [], []
    for path, source in sources.items():
        digests.append(f"{path} {knobs.code_digest(source)}")
        try:
            before = campaign.repo.show(champion, path)
        except GitFailed:
            before = ""
        changed += knobs.changed_parts(before, source)
    return knobs.text_digest("\n".join(digests)), changed


def refuse_repeats(attempts: list[Attempt], code: str) -> None:
    """Refuse code that was tried before; what was cut off, or killed from outside, may be tried again."""
    for attempt in attempts:
        was_killed = any(trial.crash.kind == "killed" for trial in attempt.trials if trial.crash)
        if attempt.code == code and not was_killed and not signals.is_cut_off(attempt):
            raise Refused(
                f"this code equals attempt {attempt.name} ({attempt.description!r}, {attempt.status}) apart from "
                f"comments and layout; see `uv run -m autoresearch show {attempt.name}`"
            )


def next_trial(campaign: Campaign, attempt: Attempt, *, of_champion: bool = False) -> Trial:
    """Add a trial to the record, with the next seed and a folder of its own."""
    trials = attempt.champion_trials if of_champion else attempt.trials
    run = len(attempt.trials) + len(attempt.champion_trials) + 1
    trial = Trial(
        commit=attempt.parent if of_champion else attempt.commit,
        seed=seed_of(campaign.tag, attempt.id, run),
        folder=f"results/{campaign.tag}/{attempt.name}/{run}",
    )
    trials.append(trial)
    return trial


def static_crash(campaign: Campaign, attempt: Attempt) -> Crash | None:
    """Why the files cannot be tried, found without running them; a literal seed is only noted."""
    for path in campaign.arena.mutable:
        if path.endswith(".py"):
            source = campaign.repo.show(attempt.commit, path)
            local = {name.split("/")[0].removesuffix(".py") for name in campaign.repo.files(attempt.commit)}
            known = local if campaign.arena.command[0] == "{python}" else None
            if crash := static.crash_of(source, path, known, campaign.arena.own):
                return crash
            attempt.notices += static.notices(source, path)
    return None


def baseline(campaign: Campaign, started: str) -> Attempt:
    """The record of attempt 0001: the unchanged champion, kept by definition."""
    commit = campaign.repo.resolve("HEAD")
    sources = {path: campaign.repo.show(commit, path) for path in campaign.arena.mutable}
    campaign.repo.keep_reachable(campaign.ref(1), commit)
    attempt = Attempt(
        tag=campaign.tag,
        id=1,
        state=State.STARTED,
        commit=commit,
        parent=commit,
        description="baseline",
        regime=campaign.pins.regime,
        code=describe(campaign, sources, commit)[0],
        status=Status.KEEP,
        started=started,
    )
    campaign.record(attempt)
    return attempt
