"""Run, score and decide until there is a verdict.

Each step is on disk before the next begins, so that the same function takes up an attempt wherever it was cut off.
"""

from collections.abc import Callable

from autoresearch import arena, signals, verdict
from autoresearch.attempt import begin, closing, rules, trial
from autoresearch.attempt.campaign import Campaign, epochs, measurements
from autoresearch.errors import Damaged, NoGoodTrial
from autoresearch.records import Attempt, Crash, State, Status, Trial


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
        if attempt.status is None:
            _cancel(campaign, attempt)
    closing.close(campaign, attempt, now())
    return attempt


def _cancel(campaign: Campaign, attempt: Attempt) -> None:
    """Write down that the person stopped it."""
    for one in (*attempt.trials, *attempt.champion_trials):
        if one.score is None and not one.crash:
            one.crash = Crash(kind="interrupted", why="stopped by the person")
    attempt.status, attempt.state = Status.CANCELLED, State.DECIDED
    attempt.notices.append("stopped by the person; the edit is still in the working tree")
    campaign.record(attempt)


def _measure(campaign: Campaign, attempt: Attempt, train: bool) -> None:
    """Trials until a verdict, which is written down."""
    heal(campaign, attempt)
    if not attempt.trials and (crash := begin.static_crash(campaign, attempt)):
        attempt.trials.append(Trial(commit=attempt.commit, seed=0, folder="", crash=crash))
    while True:
        failed = next((one.crash for one in attempt.trials if one.crash), None)
        lost_champion = next((one.crash for one in attempt.champion_trials if one.crash), None)
        judged = _judge(campaign, attempt) if attempt.scores() else None
        status = None
        if judged and not failed and (found := rules.broken(campaign, attempt, judged.decision == "keep")):
            status, attempt.reason = Status.DISCARD, found[0].reason
            attempt.notices = [*(one.why for one in found), *attempt.notices]
        elif judged and judged.decision in ("keep", "discard") and not failed:
            status = Status(judged.decision)
        elif failed:
            status = Status.DISCARD if judged else Status.CRASH
            if judged:
                attempt.notices.append(f"run {len(attempt.trials)} failed: {failed.kind}, {failed.why}")
        elif lost_champion and judged:
            status = Status.DISCARD
            attempt.notices.append(f"undecided: the champion failed when measured again: {lost_champion.why}")
        elif not train:
            status = Status.DISCARD if judged else Status.CRASH
            attempt.notices.append("cut off before it was decided; the same code may be tried again")
        if status:
            attempt.verdict, attempt.status, attempt.state = judged, status, State.DECIDED
            campaign.record(attempt)
            return
        _run_one(campaign, attempt, judged)


def _run_one(campaign: Campaign, attempt: Attempt, judged: verdict.Verdict | None) -> None:
    """One more trial: of the candidate, or of the champion where its own estimate is what is wanting."""
    wanted = judged is not None and judged.decision == "again_champion"
    of_champion = wanted or champion_is_due(campaign, attempt)
    one = begin.next_trial(campaign, attempt, of_champion=of_champion)
    campaign.record(attempt)
    trial.run(campaign, attempt, one, campaign.record)
    if of_champion:
        watch_drift(campaign, attempt, one)


def history(campaign: Campaign, attempt: Attempt) -> list[Attempt]:
    """All records up to this one, which counts as it is in memory."""
    return [*(one for one in campaign.attempts() if one.id < attempt.id), attempt]


def _judge(campaign: Campaign, attempt: Attempt) -> verdict.Verdict:
    attempts = history(campaign, attempt)
    champion = measurements(attempts, attempt.regime).get(attempt.parent, [])
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
    luck = luck_of_champion(attempts, attempt.parent, champion)
    return verdict.decide(attempt.scores(), champion, campaign.noise(attempts), terms, luck)


def luck_of_champion(attempts: list[Attempt], commit: str, scores: list[float]) -> float:
    """What selection adds to the champion's mean, as long as the runs for which it was kept are part of that."""
    kept = next((one for one in attempts if one.commit == commit and one.status == Status.KEEP), None)
    if not kept or not kept.verdict or scores[: len(kept.scores())] != kept.scores():
        return 0.0
    return verdict.luck_of(kept.verdict, len(scores))


def champion_is_due(campaign: Campaign, attempt: Attempt) -> bool:
    """Whether to measure the champion now: not done for long, not since the machine drifted, or drift was just seen."""
    num_done = len(attempt.champion_trials)
    if attempt.drift:
        return num_done < 2
    if attempt.trials or num_done:
        return False
    attempts = history(campaign, attempt)
    since = 0
    for earlier in reversed(attempts[:-1]):
        if any(one.commit == attempt.parent for one in (*earlier.trials, *earlier.champion_trials)):
            break
        since += 1
    return signals.is_champion_stale(since) or attempt.parent not in measurements(attempts, attempt.regime)


def watch_drift(campaign: Campaign, attempt: Attempt, latest: Trial) -> None:
    """Compare a new measurement of the champion with its history; say so when they disagree."""
    if latest.score is None or attempt.drift:
        return
    attempts = history(campaign, attempt)
    earlier = attempts[max((i for i, one in enumerate(attempts[:-1]) if one.drift), default=0) :]
    runs = [one for past in earlier for one in (*past.trials, *past.champion_trials) if past.regime == attempt.regime]
    by_commit: dict[str, list[signals.Measured]] = {}
    for one in runs:
        if one.score is not None and one.folder != latest.folder:
            by_commit.setdefault(one.commit, []).append(measured(one))
    others = epochs(attempts[:-1], attempt.regime)[-1]
    if others and (before := by_commit.get(latest.commit)):
        spread = signals.pace_spread(by_commit.values())
        attempt.drift = signals.drift(before, measured(latest), campaign.noise(attempts[:-1]), spread)
        campaign.record(attempt)


def measured(one: Trial) -> signals.Measured:
    """Score and pace of a trial."""
    seconds, tokens_m = one.metrics.training_seconds or 0.0, one.metrics.total_tokens_M or 0.0
    return signals.Measured(one.score or 0.0, 1e6 * tokens_m / seconds if seconds else 0.0)


def heal(campaign: Campaign, attempt: Attempt) -> None:
    """Finish the trials that were under way when the supervisor died: end their processes, score what they saved."""
    was = attempt.state
    for one in (*attempt.trials, *attempt.champion_trials):
        if one.score is not None or one.crash:
            continue
        trial.end_remains(campaign, one)
        if one.pid is None:
            one.crash = Crash(kind="interrupted", why="the supervisor was ended before the trial began")
        else:
            trial.settle(campaign, one, lambda: trial.save_scored(attempt, campaign.record))
        found = f"scored what it had saved, {one.score:.6f}" if one.score is not None else "nothing to score"
        attempt.notices.append(f"cut off while {was}; {found}")
        trial.save_scored(attempt, campaign.record)


def measure_baseline(campaign: Campaign, attempt: Attempt, num_runs: int, now: Callable[[], str]) -> None:
    """Run the unchanged files until there are `num_runs` scores, then close the record.

    Raises:
        NoGoodTrial: a run gave no score, or the files break a limit or a guard; says why.
    """
    heal(campaign, attempt)
    while len(attempt.scores()) < num_runs:
        one = begin.next_trial(campaign, attempt)
        campaign.record(attempt)
        campaign.say(f"measuring the baseline, run {len(attempt.scores()) + 1} of {num_runs}")
        trial.run(campaign, attempt, one, campaign.record)
        if one.crash:
            raise NoGoodTrial(
                f"the baseline gave no score: {one.crash.kind}, {one.crash.why}\n{one.crash.tail}\n"
                f"log: {one.folder}/run.log; mend the machine and run `setup {campaign.tag}` again, "
                "or mend and commit the files on the branch you came from and begin with a new tag"
            )
    if found := rules.broken(campaign, attempt, is_to_be_kept=True):
        raise NoGoodTrial(
            f"the baseline breaks the rules of {arena.NAME}: {'; '.join(one.why for one in found)}; mend those, or the "
            "files, on the branch you came from and begin with a new tag"
        )
    if campaign.arena.unrefereed:
        attempt.notices.append(f"unrefereed: a score is what the command prints; {arena.NAME} names no score_command")
    if notice := signals.uneven([measured(one) for one in attempt.trials if one.score is not None]):
        attempt.notices.append(notice)
    attempt.state = State.DECIDED
    campaign.record(attempt)
    closing.close(campaign, attempt, now())


def open_attempts(campaign: Campaign) -> list[Attempt]:
    """Attempts that are not closed, oldest first."""
    return [attempt for attempt in campaign.attempts() if attempt.state != State.CLOSED]
