"""The language model of a campaign: asked, counted, and given up when it fails too often."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from autoresearch.chat import Call, Chat, Endpoint, Message
from autoresearch.errors import ChatFailed
from autoresearch.search.policies import Context
from autoresearch.search.spans import CALL

WINDOW = 10  # questions over which the rate of failure is taken
FEWEST = 5  # questions before it counts
MOST_GUIDANCE_CHARS = 60_000

Model = TypeVar("Model", bound=BaseModel)


class Adviser:
    """Asks the configured endpoint; may be shared by the policies that a policy is made of."""

    def __init__(self, context: Context):
        """Take what the configuration says.

        Raises:
            BadConfig: the endpoint cannot be asked at all.
        """
        self.context = context
        policy = context.config.policy
        self.endpoint = Endpoint(
            url=policy.llm_api_url or "",
            model=policy.llm_model or "",
            key=context.variables.get(policy.llm_api_key_env, "").strip(),
            temperature=policy.temperature,
            timeout_s=policy.llm_timeout_s,
        )
        self.chat = Chat(self.endpoint, context.stop, self._count)
        self.last = Call(self.endpoint.model)
        """What the last question cost."""
        self.failed: list[bool] = []
        """Of the last questions, whether they failed."""

    def ask(self, messages: Sequence[Message], schema: type[Model], check: Callable[[Model], str]) -> Model:
        """Ask, as Chat does.

        Raises:
            ChatFailed: no acceptable answer; `lasting` where the campaign should end, for no answer can be expected.
            Interrupted: the campaign ends.
        """
        with self.context.spans.span(CALL, model=self.endpoint.model) as args:
            try:
                return self.chat.ask(messages, schema, check).value
            finally:
                args |= {"attempts": self.last.attempts, "status": self.last.status, **self.tokens()}
                args["cost_usd"] = self.last.cost_usd

    def worked(self) -> None:
        """Note that the last question was worth it."""
        self._note(False)

    def fell_back(self, error: ChatFailed) -> None:
        """Note that the last question was not, and that something else stands in for the answer.

        Raises:
            ChatFailed: more than half of the last questions failed, or none can be answered.
        """
        if error.lasting:
            raise error
        self._note(True)
        num = sum(self.failed)
        if len(self.failed) >= FEWEST and num > len(self.failed) / 2:
            what = f"the language model must answer half of the questions but failed {num} of {len(self.failed)}"
            mend = "mend policy.llm_*, then `run` again goes on"
            raise ChatFailed(f"{what}; {mend}; the last: {error}", error.status, lasting=True)

    def tokens(self) -> dict[str, object]:
        """Tokens of the last question."""
        return {"prompt_tokens": self.last.prompt_tokens, "completion_tokens": self.last.completion_tokens}

    def guidance(self) -> str:
        """What a person wrote for the model; read anew for each question, for people edit it while a campaign runs."""
        config = self.context.config
        path = config.policy.program_file or config.program_path
        return path.read_text(errors="replace")[:MOST_GUIDANCE_CHARS] if path and path.is_file() else ""

    def state(self) -> dict[str, Any]:
        """As in Policy. Questions are built from the history alone, so there is no conversation to be kept."""
        return {"failed": self.failed, "takes_schema": self.chat.takes_schema}

    def restore(self, state: Mapping[str, Any]) -> None:
        """As in Policy."""
        self.failed = list(state.get("failed", []))
        self.chat.takes_schema = state.get("takes_schema", True)

    def _note(self, failed: bool) -> None:
        self.failed = [*self.failed, failed][-WINDOW:]

    def _count(self, call: Call) -> None:
        self.last = call
