"""A language model edits the mutable file; what it gets wrong goes back to it, and is recorded when it stays wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from autoresearch.chat import Message
from autoresearch.errors import ChatFailed
from autoresearch.search import edits, prompts
from autoresearch.search.edits import Edit
from autoresearch.search.policies import Context
from autoresearch.search.policies.adviser import Adviser
from autoresearch.search.proposal import History, Proposal, Result

SOURCE = "llm_diff"
NUM_DIFFS = 3  # of the latest changes, shown as they were
MOST_DIFF_CHARS = 3000
MOST_FAULT_CHARS = 2000
SYSTEM = f"""You improve a machine learning experiment by changing one of its files.
Make one change at a time, of the kind that the trials so far speak for: an idea, not a reshuffle of constants.
The file must still parse, run within its time, and print its metric. {prompts.DATA}"""


class Change(BaseModel):
    """What the model answers: edits, or a diff."""

    rationale: str
    edits: list[Edit]
    diff: str


class LlmDiff:
    """Policy `llm_diff`."""

    def __init__(self, context: Context, adviser: Adviser | None = None):
        self.context = context
        self.adviser = adviser or Adviser(context)

    def propose(self, count: int, history: History) -> list[Proposal]:
        """As in Policy; one at a time, so that each sees the ones before it."""
        draft = Draft(self.context, history)
        rejected = ""
        try:
            self.adviser.ask(self._messages(draft, history), Change, draft.complaint)
            self.adviser.worked()
        except ChatFailed as error:
            rejected = str(error)
            if error.status == "invalid":  # the model is there and answers: it is the trial that failed
                self.adviser.worked()
                rejected = draft.fault or rejected
            else:
                self.adviser.fell_back(error)
        params = history.best.proposal.params if history.best else {}
        change: dict[str, Any] = {"diff": draft.diff, "rationale": draft.rationale, "rejected": rejected}
        return [Proposal(params=params, source=SOURCE, notes=self.adviser.tokens(), **change)]

    def tell(self, result: Result) -> None:
        """Nothing to learn: all is in the history."""

    def state(self) -> dict[str, Any]:
        """As in Policy."""
        return {"adviser": self.adviser.state()}

    def restore(self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]) -> None:
        """As in Policy."""
        self.adviser.restore(state.get("adviser", {}))

    def _messages(self, draft: "Draft", history: History) -> list[Message]:
        policy, wanted = self.context.config.policy, self.context.config.objective
        calls = ", ".join(f"`{name}`" for name in policy.required_calls)
        rules = [f"Change `{draft.name}` alone."]
        rules += [f"`{policy.frozen_file.name}` is frozen: it decides what is correct."] if policy.frozen_file else []
        rules += [f"Go on calling {calls} as the file now does, where it is reached."] if calls else []
        user = (
            f"{prompts.guided(self.adviser.guidance())}# Task\n{prompts.objective(wanted)}\n{' '.join(rules)}\n\n"
            f"# Trials\n{prompts.history(history, wanted)}\n\n{_recent(history)}"
            f"{prompts.file(draft.name, history.source)}"
            "Answer with a rationale of one or two sentences and your change: either `edits`, each with a text `find` "
            "that stands in the file exactly once and its `replace`, and `diff` empty; or `diff`, a unified diff, and "
            "`edits` empty."
        )
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]


class Draft:
    """One change on its way: made from each answer anew, until one is acceptable."""

    def __init__(self, context: Context, history: History):
        self.context, self.history = context, history
        file = context.config.policy.mutable_file
        assert file  # the configuration demands it
        self.path, self.name = file.as_posix(), file.name
        self.diff, self.rationale, self.fault = "", "", ""

    def complaint(self, change: Change) -> str:
        """What is wrong with an answer; empty where its diff can be tried."""
        self.diff, self.rationale = "", prompts.line(change.rationale)
        self.fault = self._take(change)[:MOST_FAULT_CHARS]
        return self.fault

    def _take(self, change: Change) -> str:
        source = self.history.source
        try:
            if change.edits and change.diff.strip():
                return "give either edits or a diff, and leave the other empty"
            if change.edits:
                new = edits.with_edits(source, change.edits)
            else:
                new = edits.with_diff(source, change.diff, self.path)
        except ValueError as error:
            return str(error)
        self.diff = edits.unified(source, new, self.name)
        if not self.diff:
            return "the change must change something but changes nothing"
        if any("\ud800" <= one <= "\udfff" for one in self.diff):
            return f"{self.name} has bytes that are no UTF-8; the change must keep away from the lines that hold them"
        before = [one.proposal for one in self.history.results] + self.history.running
        if any(one.diff == self.diff for one in before):
            return "this very change was tried, or is being tried; think of another"
        return self.context.check_diff(self.history.tip, self.diff)


def _recent(history: History) -> str:
    """The latest changes as they were, so that none is made twice."""
    changed = [one for one in history.results if one.proposal.diff][-NUM_DIFFS:]
    shown = [f"## Trial {one.number}: {one.decision}\n{one.proposal.diff[:MOST_DIFF_CHARS]}" for one in changed]
    return "# Latest changes\n" + "\n".join(shown) + "\n\n" if shown else ""
