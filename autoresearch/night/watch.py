"""The watch over one agent: start it, see whether it works, start it again, end the night.

The agent is a program of the person, with the person's own rights and environment: what confines a trial does not
confine it. It is ended with its process group; an attempt that it left in the background goes on.
"""

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoresearch import process, summary
from autoresearch.attempt.campaign import Campaign
from autoresearch.errors import BadConfig, Refused
from autoresearch.night import prompt, rules
from autoresearch.night.cost import Meter
from autoresearch.night.gate import Gate
from autoresearch.night.journal import Journal, lives_of
from autoresearch.night.rules import Life, Limits, Standing
from autoresearch.process import Launch
from autoresearch.records import Attempt, State

TICK_S = 0.25
LOOK_S = 2.0
BEAT_S = 5.0
DISK_S = 600.0
DISK_TICK_S = 5.0
TAIL_CHARS = 2000


@dataclass(frozen=True)
class World:
    """What the watch needs of the rim."""

    clock: Callable[[], float]
    """Seconds since 1970 UTC."""
    sleep: Callable[[float], None]
    variables: Mapping[str, str]
    """The environment of the agent: the person's own."""
    is_busy: Callable[[], bool]
    """Whether an attempt is under way in this checkout."""
    say: Callable[[str], None]


def words_of(command: str) -> list[str]:
    """A command line as words.

    Raises:
        BadConfig: a quote is open.
    """
    try:
        return shlex.split(command)
    except ValueError as error:
        raise BadConfig(f"--cost-command must be a command line but got {command!r}: {error}") from error


class Watch:
    """One night of one tag."""

    def __init__(self, campaign: Campaign, agent: Sequence[str], limits: Limits, cost_command: str, world: World):
        self.campaign, self.agent, self.limits, self.world = campaign, list(agent), limits, world
        self.journal = Journal(campaign.ledger.folder / "night")
        log = self.journal.folder / "cost.log"
        self.meter = Meter(words_of(cost_command), campaign.repo.root, log, world.variables)
        self.lives: list[Life] = []
        self.begun, self.first, self.beaten = world.clock(), 0, 0.0
        self.can_beat = True
        """Whether the last heartbeat could be written; that one could not is said once."""
        self.num_starts = 0
        """Of all nights: each start has a log of its own."""

    def run(self) -> str:
        """Keep the agent at work until a rule ends the night; returns the reason, and leaves the night to be closed.

        Raises:
            BadConfig: there is no such agent.
        """
        if not shutil.which(self.agent[0], path=self.world.variables.get("PATH")):
            raise BadConfig(f"the agent must be a program on the PATH but there is no {self.agent[0]!r}")
        self.take_up()
        while not (reason := self.reason()):
            self.live()
            if not self.reason():
                self.rest(rules.pause_s(self.lives))
        self.world.say(f"the night ends: {reason}")
        self.let_attempt_end()
        return reason

    def close(self, reason: str) -> None:
        """Say in the journal that all is done; the next start begins another night."""
        self.note("end", reason=reason, attempts=len(self.attempts()))

    def note(self, event: str, at: float | None = None, **facts: Any) -> None:
        """Write into the journal; a disk that is full is waited for, at most DISK_S.

        Args:
            at: when it happened; None: now.

        Raises:
            OSError: it could not be written all the while.
        """
        first, is_said = self.world.clock(), False
        while True:
            try:
                return self.journal.add(event, first if at is None else at, **facts)
            except OSError as error:
                if self.world.clock() - first >= DISK_S:
                    raise
                if not is_said:
                    self.world.say(f"the journal cannot be written, which is tried for {DISK_S:.0f} s: {error}")
                is_said = True
            self.world.sleep(DISK_TICK_S)

    def take_up(self) -> None:
        """Go on with a night that was cut off, whose agent may still be running, or begin one."""
        self.num_starts = sum(one["event"] == "start" for one in self.journal.events())
        events = self.journal.night()
        if not events:
            self.first = max(self.campaign.ledger.numbers(), default=0)
            self.note("begin", self.begun, first=self.first, agent=self.agent)
            self.ask_cost()
            return
        self.begun, self.first = events[0]["time"], events[0]["first"]
        for answer in (one["answer"] for one in events if one["event"] == "cost"):
            self.meter.take(answer)
        self.lives = lives_of(events)
        last = [one for one in events if one["event"] in ("start", "life")][-1:]
        is_left = any(process.end_group(one["pid"], one["started"], "") for one in last if one["event"] == "start")
        self.note("resume", ended_agent=is_left)
        self.world.say(f"going on with the night that began {self.elapsed_s() / 3600:.1f} hours ago")
        self.ask_cost()

    def ask_cost(self, at_once: bool = False) -> None:
        """Ask what was spent if it is time; answers are on disk before they count, so that no kill forgets money."""
        now = self.world.clock()
        answer = self.meter.watch(now, self.world.say, at_once)
        if answer is not None:
            self.note("cost", now, answer=answer)
            self.meter.take(answer)

    def reason(self) -> str:
        """Why the night is over; empty while it is not."""
        closed = [one for one in self.attempts() if one.state == State.CLOSED]
        meter = self.meter
        now = Standing(self.elapsed_s(), closed, self.noise(), meter.spent, meter.num_failures, self.lives)
        return rules.reason_to_stop(self.limits, now)

    def elapsed_s(self) -> float:
        """Seconds since the night first began."""
        return self.world.clock() - self.begun

    def attempts(self) -> list[Attempt]:
        """Attempts of this night."""
        return [one for one in self.campaign.attempts() if one.id > self.first]

    def noise(self) -> float:
        """Of one run; 0 while nothing was measured."""
        try:
            return self.campaign.noise(self.campaign.attempts()).sigma
        except Refused:
            return 0.0

    def live(self) -> None:
        """Start the agent, and stay with it until it ends, is of no use any more, or the night is over."""
        self.num_starts += 1
        number = self.num_starts
        before, begun = len(self.attempts()), self.world.clock()
        log = self.journal.folder / f"agent-{number:04d}.log"
        command = prompt.insert(self.agent, prompt.write(self.campaign, self.lives))
        gate = Gate()
        launch = gate.launch(command, self.campaign.repo.root, self.world.variables, log)
        try:
            self.note("start", begun, number=number, pid=launch.pid, started=launch.started)
            gate.open()
            self.world.say(f"agent started, number {number}; what it says is in {log}")
            self.stay(launch)
            has_ended = launch.has_ended()
        finally:
            launch.stop()
        life = Life(
            seconds=round(self.world.clock() - begun, 1),
            num_attempts=len(self.attempts()) - before,
            exit_code=launch.child.returncode if has_ended else None,
            tail=summary.tail(log.read_text(errors="replace"))[-TAIL_CHARS:],
        )
        self.lives.append(life)
        self.note("life", number=number, **vars(life))
        self.ask_cost(at_once=True)

    def stay(self, launch: Launch) -> None:
        """Return when the agent has ended, did nothing for too long, or the night is over."""
        count, active, looked = len(self.attempts()), self.world.clock(), 0.0
        while not launch.has_ended():
            now = self.world.clock()
            if now - looked >= LOOK_S:
                looked = now
                self.beat(launch.pid)
                self.ask_cost()
                if (latest := len(self.attempts())) != count or self.world.is_busy():
                    count, active = latest, now
                if now - active > self.limits.patience_s:
                    self.world.say(f"no new attempt for {self.limits.patience_s:.0f} s: the agent is started anew")
                    return
                if self.reason():
                    self.let_attempt_end()  # it may be a child of the agent
                    return
            self.world.sleep(TICK_S)

    def rest(self, seconds: float) -> None:
        """Wait before the next start, or until the night ends."""
        until = self.world.clock() + seconds
        if seconds > rules.FIRST_PAUSE_S:
            why = "its service asks for a pause" if self.lives[-1].is_limited else "nothing came of the last start"
            self.world.say(f"{why}; the agent is started again in {seconds:.0f} s")
        self.note("pause", seconds=round(seconds, 1))
        while (left := until - self.world.clock()) > 0 or self.world.is_busy():  # what the agent left under way
            self.beat()
            if self.reason():
                return
            self.world.sleep(min(LOOK_S, max(left, TICK_S)))

    def let_attempt_end(self) -> None:
        """Wait for the attempt under way; its own deadlines bound that."""
        if self.world.is_busy():
            self.world.say("waiting for the attempt under way")
        while self.world.is_busy():
            self.beat()
            self.world.sleep(TICK_S)

    def beat(self, pid: int = 0) -> None:
        """The heartbeat, every few seconds."""
        now = self.world.clock()
        if 0 <= now - self.beaten < BEAT_S:
            return
        self.beaten = now
        facts = {
            "time": round(now, 1), "elapsed_s": round(self.elapsed_s(), 1), "agent": self.num_starts, "pid": pid,
            "attempts": len(self.attempts()), "cost": self.meter.spent,
        }  # fmt: skip
        try:
            self.journal.beat(facts)
        except OSError as error:  # nothing is lost, and the next one may do better
            if self.can_beat:
                self.world.say(f"the heartbeat cannot be written: {error}")
            self.can_beat = False
        else:
            self.can_beat = True
