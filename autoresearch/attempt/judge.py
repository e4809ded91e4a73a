"""Run, score and decide until there is a verdict; then close: row, notes, branch, weights.

Each step is on disk before the next begins, so that the same function takes up an attempt wherever it was cut off.
"""

from collections.abc import Callable

from autoresearch import notes, process, signals, verdict
from autoresearch.attempt import begin, trial
from autoresearch.attempt.campaign import Campaign, all_trials, lineage, measurements
from autoresearch.errors import Damaged, NoGoodTrial, Refused
from autoresearch.records import Attempt, Crash, Reasoning, State, Status, Trial


def advance(campaign: Campaign, attempt: Attempt, now: Callable[[], str], train: bool = True) -> Attempt:
    """Bring an attempt to its end.

    Args:
        now: UTC, ISO 8601.
        train: whether trials may still be started; without them an undecided attempt closes as interrupted.
    """
    try:
        if attempt.status is None:
            _measure(campaign, attempt, train)
    except KeyboardInterrupt:
        attempt.status = Status.CANCELLED if not attempt.scores() else Status.DISCARD
        attempt.notices.append("stopped by the person")
    close(campaign, attempt, now())
    return attempt


def _measure(campaign: Campaign, attempt: Attempt, train: bool) -> None:
    """Trials until a verdict, which is written down."""
    heal(campaign, attempt)
    if not attempt.trials and (crash := begin.static_crash(campaign, attempt)):
        attempt.trials.append(Trial(commit=attempt.commit, seed=0, folder="", crash=crash))
    while attempt.status is None:
        failed = next((one.crash for one in attempt.trials if one.crash), None)
        judged = _judge(campaign, attempt) if attempt.scores() and not failed else None
        if failed and not attempt.scores():
            attempt.status = Status.CRASH
        elif failed:
            attempt.status = Status.DISCARD
            attempt.notices.append(f"a run of {len(attempt.trials)} failed: {failed.kind}, {failed.why}")
        elif judged and judged.decision in ("keep", "discard"):
            attempt.verdict = judged
            attempt.status = Status.KEEP if judged.decision == "keep" else Status.DISCARD
            _enforce(campaign, attempt)
        elif not train:
            attempt.status = Status.DISCARD if judged else Status.CRASH
            attempt.verdict = judged
            attempt.notices.append("interrupted before it could be measured again")
        else:
            again = judged is not None and judged.decision == "again_champion"
            of_champion = again or champion_is_due(campaign, attempt)
            one = begin.next_trial(campaign, attempt, of_champion=of_champion)
            campaign.ledger.write(attempt)
            trial.run(campaign, attempt, one, campaign.ledger.write)
            if of_champion:
                watch_drift(campaign, attempt, one)
    attempt.state = State.DECIDED
    campaign.ledger.write(attempt)


def _judge(campaign: Campaign, attempt: Attempt) -> verdict.Verdict:
    attempts = [*(one for one in campaign.ledger.attempts() if one.id != attempt.id), attempt]
    champion = measurements(attempts, attempt.regime).get(attempt.parent, [])
    if attempt.drift:
        champion = [one.score for one in attempt.champion_trials if one.score is not None]
    if not champion:
        raise Damaged(f"the champion {attempt.parent[:7]} has no score in regime {attempt.regime}; run `setup` anew")
    added, deleted = campaign.repo.num_lines(attempt.parent, attempt.commit)
    terms = verdict.Terms(
        direction=campaign.arena.metric.direction,
        max_runs=attempt.max_runs,
        simpler=attempt.simpler,
        deletes_more=deleted > added,
        once=attempt.once,
    )
    return verdict.decide(attempt.scores(), champion, campaign.noise(attempts), terms)


def champion_is_due(campaign: Campaign, attempt: Attempt) -> bool:
    """Whether the champion is to be measured now: not for long, or the machine was just seen to have moved."""
    if attempt.drift:
        return len(attempt.champion_trials) < 2
    if attempt.trials or attempt.champion_trials:
        return False
    since = 0
    for earlier in reversed(campaign.ledger.attempts()[:-1]):
        if any(one.commit == attempt.parent for one in (*earlier.trials, *earlier.champion_trials)):
            break
        since += 1
    return verdict.is_champion_stale(since)


def watch_drift(campaign: Campaign, attempt: Attempt, latest: Trial) -> None:
    """Compare a new measurement of the champion with its history; say so when they disagree."""
    if latest.score is None or attempt.drift:
        return
    attempts = campaign.ledger.attempts()
    history = [
        one for one in all_trials(attempts, attempt.regime) if one.commit == latest.commit and one.score is not None
    ]
    before = [measured(one) for one in history if one.folder != latest.folder]
    attempt.drift = verdict.drift(before, measured(latest), campaign.noise(attempts)) or ""
    campaign.ledger.write(attempt)


def measured(one: Trial) -> verdict.Measured:
    """Score and pace of a trial."""
    seconds, tokens_m = one.metrics.training_seconds or 0.0, one.metrics.total_tokens_M or 0.0
    return verdict.Measured(one.score or 0.0, 1e6 * tokens_m / seconds if seconds else 0.0)


def _enforce(campaign: Campaign, attempt: Attempt) -> None:
    """Limits and guards: what stops a keep, whatever the score."""
    if attempt.status != Status.KEEP:
        return
    for name, most in campaign.arena.limits.items():
        value = number_of(attempt.trials[-1], name)
        if value is None or value > most:
            attempt.status = Status.DISCARD
            attempt.notices.append(f"over the limit: {name} must be at most {most:g} but is {value}")
    for index, guard in enumerate(campaign.arena.guards):
        folder = campaign.repo.root / attempt.trials[-1].folder
        command = [part.format(python="python3", folder=folder) for part in guard]
        env = process.environment(campaign.variables, {process.MARK: str(folder)})
        ended = process.Launch(command, folder / "code", env, folder / f"guard-{index}.log").wait()
        if ended.exit_code:
            attempt.status = Status.DISCARD
            attempt.notices.append(f"guard {' '.join(guard)} must exit 0 but exited {ended.exit_code}")


def number_of(one: Trial, name: str) -> float | None:
    """A number of a trial's summary."""
    value = getattr(one.metrics, name, None)
    try:
        return float(value if value is not None else one.metrics.others[name])
    except (KeyError, ValueError):
        return None


def heal(campaign: Campaign, attempt: Attempt) -> None:
    """Finish the trial that was under way when the supervisor died: end its processes, score what it saved."""
    for one in (*attempt.trials, *attempt.champion_trials):
        if one.score is not None or one.crash:
            continue
        folder = campaign.repo.root / one.folder
        process.end_group(one.pid or 0, one.pid_started or "", str(folder))
        campaign.say(f"attempt {attempt.name} was cut off; finishing it")
        if one.pid is None:
            one.crash = Crash(kind="interrupted", why="the supervisor was ended before the trial began")
            campaign.ledger.write(attempt)
        else:
            trial.finish(campaign, one, None)
            campaign.ledger.write(attempt)
        attempt.notices.append("healed after an interruption")


def close(campaign: Campaign, attempt: Attempt, now: str) -> None:
    """Write the row and the notes, move the branch if the attempt was not kept, free weights nobody needs."""
    append_row(campaign, attempt)
    _note(campaign, attempt)
    here, there = (attempt.commit, attempt.parent)
    if attempt.status == Status.BACKTRACK:
        here, there = there, here
    repo = campaign.repo
    if attempt.status != Status.KEEP and here != there and repo.resolve(f"refs/heads/{campaign.branch}") == here:
        left = repo.move_branch(campaign.branch, here, there, campaign.arena.mutable)
        attempt.notices += [f"{path} has newer edits and was left as it is" for path in left]
    for one in (*attempt.trials, *attempt.champion_trials):
        if one.folder and attempt.status != Status.KEEP:
            trial.remove_weights(campaign.repo.root / one.folder)
    attempt.state, attempt.closed = State.CLOSED, now
    campaign.ledger.write(attempt)


def append_row(campaign: Campaign, attempt: Attempt) -> None:
    """Tell results.tsv, once."""
    assert attempt.status
    scores, crashed = attempt.scores(), attempt.status == Status.CRASH
    memory_mb = max((one.metrics.peak_vram_mb or 0.0 for one in attempt.trials), default=0.0)
    row = {
        "commit": attempt.commit[:7],
        campaign.arena.metric.name: f"{sum(scores) / len(scores):.6f}" if scores and not crashed else "0.000000",
        "memory_gb": f"{0.0 if crashed else memory_mb / 1024:.1f}",
        "status": str(attempt.status),
        "description": attempt.description,
        "reasoning": attempt.reasoning.hypothesis,
    }
    if not campaign.ledger.has_row(row["commit"], row["status"], row["description"]):
        campaign.ledger.append_row(row)


def _note(campaign: Campaign, attempt: Attempt) -> None:
    """The REASONING block and the outcome, in the Experiment Log of notes.md."""
    reasoning = attempt.reasoning
    lines = [
        f"hypothesis: {reasoning.hypothesis}" if reasoning.hypothesis else "",
        f"evidence: {reasoning.evidence}" if reasoning.evidence else "",
        f"risk: {reasoning.risk}" if reasoning.risk else "",
        f"outcome: {outcome(attempt)}",
    ]
    title = f"{attempt.name}: {attempt.description}"
    path = campaign.repo.root / "notes.md"
    if path.exists() and f"### {title}\n" in path.read_text():
        return
    try:
        notes.append_entry(campaign.repo.root, title, "\n".join(filter(None, lines)))
    except Damaged as error:
        attempt.notices.append(str(error))


def outcome(attempt: Attempt) -> str:
    """One line: the verdict with its numbers, or the crash."""
    if attempt.verdict:
        return verdict.headline(attempt.verdict)
    crash = next((one.crash for one in attempt.trials if one.crash), None)
    scores = ", ".join(f"{score:.6f}" for score in attempt.scores())
    return f"{attempt.status}  {f'{crash.kind}: {crash.why}' if crash else scores}"


def directives(campaign: Campaign) -> list[str]:
    """What the history says should come next."""
    attempts = [one for one in campaign.ledger.attempts() if one.state == State.CLOSED]
    noise = campaign.noise(attempts)
    scores = measurements(attempts, campaign.pins.regime)
    sign = 1 if campaign.arena.metric.direction == "min" else -1
    kept = [one for one in lineage(attempts, campaign.champion(attempts)) if scores.get(one.commit)]
    steps = [(one, sign * sum(scores[one.commit]) / len(scores[one.commit])) for one in kept]
    lines = [f"drift: {attempts[-1].drift}"] if attempts and attempts[-1].drift else []
    return [*lines, *filter(None, [signals.regression(steps, noise.sigma)]), *signals.directives(attempts, noise.sigma)]


def measure_baseline(campaign: Campaign, attempt: Attempt, num_runs: int, now: Callable[[], str]) -> None:
    """Run the unchanged files until there are `num_runs` scores, then close the record.

    Raises:
        NoGoodTrial: a run gave no score; says why.
    """
    heal(campaign, attempt)
    while len(attempt.scores()) < num_runs:
        one = begin.next_trial(campaign, attempt)
        campaign.ledger.write(attempt)
        campaign.say(f"measuring the baseline, run {len(attempt.scores()) + 1} of {num_runs}")
        trial.run(campaign, attempt, one, campaign.ledger.write)
        if one.crash:
            raise NoGoodTrial(
                f"the baseline gave no score: {one.crash.kind}, {one.crash.why}\n{one.crash.tail}\n"
                f"mend train.py where you came from, or the data, and begin with a new tag; log: {one.folder}/run.log"
            )
    close(campaign, attempt, now())


def open_attempts(campaign: Campaign) -> list[Attempt]:
    """Attempts that are not closed, oldest first."""
    return [attempt for attempt in campaign.ledger.attempts() if attempt.state != State.CLOSED]


def backtrack(campaign: Campaign, commit: str, why: str, now: str) -> Attempt:
    """Move the branch to a commit that was measured as kept, with a record and a row of its own.

    Raises:
        Refused: the commit was never kept, is the champion already, or files have edits.
    """
    attempts = campaign.ledger.attempts()
    champion = campaign.champion(attempts)
    kept = {one.commit: one for one in attempts if one.status == Status.KEEP}
    if commit not in kept:
        known = ", ".join(f"{one.name} {one.commit[:7]}" for one in kept.values())
        raise Refused(f"{commit[:7]} must be a kept attempt; known: {known}")
    if commit == champion.commit:
        raise Refused(f"{commit[:7]} is the champion already")
    if dirty := campaign.repo.dirty(campaign.arena.mutable):
        raise Refused(f"{', '.join(dirty)} has edits; `try` them, or restore with `git checkout -- {' '.join(dirty)}`")
    number = attempts[-1].id + 1
    attempt = Attempt(
        tag=campaign.tag,
        id=number,
        state=State.DECIDED,
        commit=commit,
        parent=champion.commit,
        description=f"back from {champion.commit[:7]} to {commit[:7]}",
        reasoning=Reasoning(hypothesis=why),
        regime=campaign.pins.regime,
        code=kept[commit].code,
        status=Status.BACKTRACK,
        previous=campaign.ledger.digest(number - 1),
        started=now,
    )
    campaign.ledger.write(attempt)
    close(campaign, attempt, now)
    return attempt
