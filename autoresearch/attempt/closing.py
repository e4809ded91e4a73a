"""Close an attempt: row, notes, branch, weights; and what the history then says. Every step may be repeated."""

from autoresearch import notes, signals, verdict
from autoresearch.attempt import begin, trial
from autoresearch.attempt.campaign import Campaign, lineage, measurements
from autoresearch.errors import Damaged, Refused
from autoresearch.records import Attempt, Reasoning, State, Status


def close(campaign: Campaign, attempt: Attempt, now: str) -> None:
    """Write the row and the notes, move the branch if the attempt was not kept, free weights nobody needs."""
    append_row(campaign, attempt)
    campaign.reached("row")
    _note(campaign, attempt)
    campaign.reached("note")
    _move_branch(campaign, attempt)
    campaign.reached("branch")
    freed = attempt.champion_trials if attempt.status == Status.KEEP else attempt.trials + attempt.champion_trials
    for one in freed:
        if one.folder:
            trial.remove_weights(campaign.repo.root / one.folder)
    attempt.state, attempt.closed = State.CLOSED, now
    campaign.record(attempt)


def _move_branch(campaign: Campaign, attempt: Attempt) -> None:
    """Back to the champion, or to where a backtrack goes; the edit of an attempt nobody judged stays in the files."""
    here, there = (attempt.commit, attempt.parent)
    if attempt.status == Status.BACKTRACK:
        here, there = there, here
    repo = campaign.repo
    if attempt.status == Status.KEEP or here == there or repo.resolve(f"refs/heads/{campaign.branch}") != here:
        return
    left = repo.move_branch(campaign.branch, here, there, campaign.arena.mutable, not signals.is_cut_off(attempt))
    attempt.notices += [f"{path} has newer edits and was left as it is" for path in left]


def row_of(campaign: Campaign, attempt: Attempt) -> dict[str, str]:
    """The attempt as results.tsv tells it."""
    told, crashed = attempt, attempt.status == Status.CRASH
    if attempt.status == Status.BACKTRACK:  # nothing ran: the numbers are those of the attempt gone back to
        told = next(one for one in campaign.attempts() if one.commit == attempt.commit and one.status == Status.KEEP)
    scores = told.scores()
    row = {
        "commit": attempt.commit[:7],
        campaign.arena.metric.name: f"{sum(scores) / len(scores):.6f}" if scores and not crashed else "0.000000",
        "memory_gb": f"{0.0 if crashed else told.most('memory_gb') or 0.0:.1f}",
        "status": str(attempt.status),
        "description": attempt.description,
        "reasoning": attempt.reasoning.hypothesis,
    }
    for column in set(campaign.ledger.columns) - row.keys():
        value = 0.0 if crashed else told.most(column)
        row[column] = "" if value is None else f"{value:.6g}" if value else "0.0"
    return {column: row[column] for column in campaign.ledger.columns}


def append_row(campaign: Campaign, attempt: Attempt) -> None:
    """Tell results.tsv, once, though an earlier attempt may have the very same row."""
    row = row_of(campaign, attempt)
    alike = [one for one in campaign.attempts() if one.id < attempt.id and one.commit == attempt.commit]
    campaign.ledger.append_row(row, 1 + sum(row_of(campaign, one) == row for one in alike))


def _note(campaign: Campaign, attempt: Attempt) -> None:
    """The REASONING block and the outcome, in the Experiment Log of notes.md."""
    reasoning = attempt.reasoning
    lines = [
        f"hypothesis: {reasoning.hypothesis}" if reasoning.hypothesis else "",
        f"evidence: {reasoning.evidence}" if reasoning.evidence else "",
        f"risk: {reasoning.risk}" if reasoning.risk else "",
        f"outcome: {outcome(attempt)}",
    ]
    path = campaign.repo.root / "notes.md"
    if path.exists() and f"### {title_of(attempt)}\n" in path.read_text(errors="replace"):
        return
    try:
        num_bytes = notes.append_entry(campaign.repo.root, title_of(attempt), "\n".join(filter(None, lines)))
    except (Damaged, UnicodeDecodeError) as error:
        attempt.notices.append(f"notes.md was left as it is: {error}")
        return
    if problem := over_cap(num_bytes):
        attempt.notices.append(problem)


def title_of(attempt: Attempt) -> str:
    """The heading of an attempt in notes.md."""
    return f"{attempt.name}: {attempt.description}"


def over_cap(num_bytes: int) -> str:
    """What to say of notes.md when the sections that are the agent's own outgrow it; empty when they do not."""
    if num_bytes <= notes.CAP_BYTES:
        return ""
    return f"notes.md has {num_bytes:,} bytes, at most {notes.CAP_BYTES:,}; shorten the sections above its log"


def outcome(attempt: Attempt) -> str:
    """One line: the verdict with its numbers, or the crash."""
    status = str(attempt.status or attempt.state)
    if attempt.verdict:
        decision = attempt.verdict.decision
        numbers = verdict.headline(attempt.verdict).removeprefix(decision.replace("_", " ")).lstrip()
        return "  ".join(filter(None, (status, attempt.reason, numbers)))
    crash = next((one.crash for one in attempt.trials if one.crash), None)
    if crash:
        return f"{status}  {crash.kind}: {crash.why}"
    return f"{status}  {', '.join(f'{score:.6f}' for score in attempt.scores())}".rstrip()


def whereabouts(campaign: Campaign, attempt: Attempt) -> list[str]:
    """Where the mutable files stand after an attempt, and what brings the code of a crash back."""
    names, verb = " ".join(campaign.arena.mutable), "is" if len(campaign.arena.mutable) == 1 else "are"
    champion = champion_line(campaign, campaign.attempts())
    if signals.is_cut_off(attempt):
        return [champion, f"{names} {verb} as you edited; the same code may be tried again"]
    if attempt.status not in (Status.DISCARD, Status.CRASH) or campaign.repo.dirty(campaign.arena.mutable):
        return [champion]
    code = f"its code: `git restore --source={campaign.ref(attempt.id)} -- {names}`"
    return [code] * (attempt.status == Status.CRASH) + [f"{names} {verb} back at {champion}"]


def champion_line(campaign: Campaign, attempts: list[Attempt]) -> str:
    """Which attempt is the champion, and what it measures."""
    champion = campaign.champion(attempts)
    scores = measurements(attempts, campaign.pins.regime).get(champion.commit, [])
    return f"champion {champion.name} {champion.commit[:7]} {mean_of(scores)}"


def mean_of(scores: list[float]) -> str:
    """The mean of some runs, and how many they are."""
    return f"{sum(scores) / len(scores):.6f} ({count_of(len(scores), 'run')})" if scores else "unmeasured"


def count_of(number: int, noun: str) -> str:
    """A number and what it counts."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def directives(campaign: Campaign, attempts: list[Attempt]) -> list[str]:
    """What the history says should come next.

    Args:
        attempts: all of them, oldest first.
    """
    attempts = [one for one in attempts if one.state == State.CLOSED]
    if not attempts:
        return []
    noise = campaign.noise(attempts)
    scores = measurements(attempts, campaign.pins.regime)
    sign = 1 if campaign.arena.metric.direction == "min" else -1
    kept = [one for one in lineage(attempts, campaign.champion(attempts)) if scores.get(one.commit)]
    steps = [signals.Step(one.name, [sign * score for score in scores[one.commit]]) for one in kept]
    lines = [f"drift: {attempts[-1].drift}"] if attempts[-1].drift else []
    return [*lines, *filter(None, [signals.regression(steps, noise.sigma)]), *signals.directives(attempts, noise.sigma)]


def backtrack(campaign: Campaign, commit: str, why: str, now: str) -> Attempt:
    """Move the branch to a commit that was measured as kept, with a record and a row of its own.

    Raises:
        Refused: the commit was never kept or is the champion already; files have edits; the branch is ahead.
    """
    attempts = campaign.attempts()
    champion = campaign.champion(attempts)
    kept = {one.commit: one for one in attempts if one.status == Status.KEEP}
    if commit not in kept:
        known = ", ".join(f"{one.name} {one.commit[:7]}" for one in list(kept.values())[-12:])
        raise Refused(f"{commit[:7]} must be a kept attempt; known: {known}")
    if commit == champion.commit:
        raise Refused(f"{commit[:7]} is the champion already")
    if dirty := campaign.repo.dirty(campaign.arena.mutable):
        raise Refused(f"{', '.join(dirty)} has edits; `try` them first, or keep a copy elsewhere")
    if (head := campaign.repo.resolve("HEAD")) != champion.commit:
        raise Refused(
            f"the branch must be at the champion {champion.commit[:7]} but is at {head[:7]}; "
            f"`try` your commit, or undo it with `git reset --keep {champion.commit[:7]}`"
        )
    number = begin.next_number(campaign, attempts, commit)
    attempt = Attempt(
        tag=campaign.tag,
        id=number,
        state=State.DECIDED,
        commit=commit,
        parent=champion.commit,
        description=f"back from {champion.commit[:7]} to {commit[:7]}: {kept[commit].description}",
        reasoning=Reasoning(hypothesis=why),
        regime=campaign.pins.regime,
        code=kept[commit].code,
        status=Status.BACKTRACK,
        previous=campaign.ledger.digest(attempts[-1].id),
        started=now,
    )
    campaign.repo.keep_reachable(campaign.ref(number), commit)
    campaign.record(attempt)
    close(campaign, attempt, now)
    return attempt
