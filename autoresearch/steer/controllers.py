"""Who proposes changes of the learning rate: an LLM, a rule, chance, nobody, or an earlier campaign."""

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autoresearch.chat import Call, Chat, Endpoint, Message
from autoresearch.errors import BadConfig
from autoresearch.steer.config import Config, Model
from autoresearch.steer.logs import lines
from autoresearch.steer.plan import Plan
from autoresearch.steer.rows import BASELINE_ARMS, Decision

PATIENCE = 2  # windows without gain before the rule acts
GAIN = 0.003  # of the loss: less is none
SYSTEM = """You steer the learning rate of a neural network's training run while it runs.
The run follows a plan: warm up, ramp to a peak, hold, decay. Every window you may edit it once:
keep: the plan goes on. This is right most of the time.
scale: multiply the whole plan by `factor`, 0.5 to 2.
decay: begin the final decay now. It cannot be undone.
abort: give the run up, because nothing can come of it.
What you say takes effect one window later. A guard of fixed rules halves the rate or goes back to a checkpoint when the
loss explodes; you need not. The goal is the lowest loss at the end of the run, which needs a long decay.
Answer with one JSON object: action, factor (1 unless you scale) and reason, a sentence."""


class Answer(BaseModel):
    """An edit of the plan."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    action: Literal["keep", "scale", "decay", "abort"]
    factor: float = Field(default=1.0, gt=0)
    """Of a scale."""
    reason: str = Field(default="", max_length=2000)


KEEP = Answer(action="keep")


class View(BaseModel):
    """What a controller sees."""

    round: int
    step: int
    effective_step: int
    """When the answer will count."""
    seed: int
    progress: float
    lr: float
    """Now, as planned."""
    plan: Plan
    windows: list[float]
    """Smoothed loss at the end of each window so far."""
    alarms: list[str]
    """What the guard did in this round."""
    brief: str
    """What earlier rounds teach."""
    decisions: list[dict[str, Any]]
    """The last ones of this round, those under way among them."""
    scaled: list[int] = []
    """Steps at which all of this round were asked that changed the rate by a factor."""


class Controller(Protocol):
    """Answers questions, one at a time; may take its time, and may raise ChatFailed."""

    def decide(self, view: View) -> Answer:
        """The edit to make."""


class Nobody:
    """Keeps every plan."""

    def decide(self, view: View) -> Answer:
        """Keep."""
        return KEEP


class Rule:
    """Reduces on a plateau."""

    def decide(self, view: View) -> Answer:
        """Halve when the loss has not gained for two windows; a second time, begin the decay."""
        losses = view.windows
        if view.progress <= view.plan.warmup + view.plan.ramp or len(losses) <= PATIENCE:
            return KEEP
        gain = min(losses[:-PATIENCE]) - min(losses[-PATIENCE:])
        if gain >= GAIN * abs(min(losses)):
            return KEEP
        if view.scaled and view.step < view.scaled[-1] + (1 + PATIENCE) * (view.effective_step - view.step):
            return KEEP  # what the cut has brought is not seen yet
        if view.scaled:
            return Answer(action="decay", reason="a second plateau")
        return Answer(action="scale", factor=0.5, reason=f"no gain in {PATIENCE} windows")


class Chance:
    """Draws, the same for the same round and step."""

    def decide(self, view: View) -> Answer:
        """Keep half of the time, else scale within the clamp, late in the run decay."""
        dice = random.Random(f"{view.seed} {view.round} {view.step}")
        if dice.random() < 0.5:
            return KEEP
        if view.progress > 0.5 and dice.random() < 0.25:
            return Answer(action="decay", reason="by chance")
        return Answer(action="scale", factor=math.exp(dice.uniform(-math.log(2), math.log(2))), reason="by chance")


class Replay:
    """Repeats what was asked for in another campaign, by round and step; what its baselines did does not count."""

    def __init__(self, log: Path):
        """Read a decisions log.

        Raises:
            BadConfig: it is none, or several controllers were at work in it.
        """
        self.known: dict[tuple[int, int], Answer] = {}
        try:
            found = [Decision.model_validate_json(line) for line in lines(log)]
        except ValidationError as error:
            raise BadConfig(f"{log} must be a decisions log but: {error.errors()[0]['msg']}") from error
        rows = [row for row in found if not row.arm.startswith(BASELINE_ARMS)]
        if not rows:
            raise BadConfig(f"{log} must be a decisions log but holds no decision of a controller")
        if len(arms := sorted({row.arm for row in rows})) > 1:
            raise BadConfig(f"{log} must hold the decisions of one controller but holds those of {', '.join(arms)}")
        for row in rows:
            if row.source == "controller" and row.action in ("keep", "scale", "decay", "abort"):
                answer = Answer.model_validate({"action": row.action, "factor": row.requested or 1.0})
                self.known[row.round, row.step] = answer

    def decide(self, view: View) -> Answer:
        """What was asked for then; keep where nothing was."""
        return self.known.get((view.round, view.step), KEEP)


class Llm:
    """Asks a language model."""

    def __init__(self, chat: Chat):
        """Take the endpoint, which corrects and times out by itself."""
        self.chat = chat

    def decide(self, view: View) -> Answer:
        """Its answer; ChatFailed where there is none."""
        answer = self.chat.ask(messages(view), Answer).value
        return answer.model_copy(update={"reason": self.chat.endpoint.clean(answer.reason)})


def make(config: Config, variables: Mapping[str, str], record: Callable[[Call], None]) -> Controller:
    """The controller of a configuration.

    Args:
        variables: where the key of a model is looked up.
        record: is given the cost of every question to a model.
    """
    if config.controller == "llm":
        assert config.llm.controller
        return Llm(Chat(endpoint(config.llm.controller, variables), record=record))
    if config.controller == "replay":
        assert config.replay
        return Replay(config.replay)
    plain: dict[str, Callable[[], Controller]] = {"rule": Rule, "random": Chance, "none": Nobody}
    return plain[config.controller]()


def endpoint(model: Model, variables: Mapping[str, str]) -> Endpoint:
    """Where a model of a configuration is asked; a question that fails is soon given up, for the run goes on.

    Raises:
        BadConfig: its key is not in the environment.
    """
    if model.key_env and not variables.get(model.key_env):
        raise BadConfig(f"the variable {model.key_env} must hold the key of {model.model} but is not set")
    key = variables.get(model.key_env, "") if model.key_env else ""
    return Endpoint(
        model.url, model.model, key, timeout_s=model.timeout_s, num_retries=1, longest_wait_s=model.timeout_s
    )


def messages(view: View) -> Sequence[Message]:
    """The question in words."""
    facts = view.model_dump(exclude={"brief", "seed"}) | {"plan": view.plan.model_dump() | {"hold": view.plan.hold}}
    brief = f"What earlier rounds teach:\n{view.brief}\n\n" if view.brief else ""
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"{brief}The run now:\n{json.dumps(_rounded(facts))}"},
    ]


def _rounded(value: Any) -> Any:
    """Numbers with four digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
