"""A language model that chooses among the plans which the memory offers; without its answer the memory's own stands."""

from pydantic import BaseModel, ConfigDict, Field

from autoresearch.chat import Chat, Message
from autoresearch.errors import ChatFailed
from autoresearch.steer.memory import Advice, Choose

SYSTEM = """You plan the next training run of a campaign that looks for the best schedule of the learning rate.
Code has computed what the runs so far teach, and offers plans, numbered from 0; it would take 0.
Choose another only for a reason that the numbers do not hold. A plan of kind repeat runs once more because only a plan
that ran three times may be reported.
Answer with one JSON object: choice, the number of a plan, and comment, a sentence that says why."""


class Pick(BaseModel):
    """A choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    choice: int
    comment: str = Field(default="", max_length=2000)


def chooser(chat: Chat) -> Choose:
    """Have an endpoint choose; it corrects, times out and is recorded by itself."""

    def choose(advice: Advice) -> tuple[int, str]:
        num = len(advice.choices)

        def check(pick: Pick) -> str:
            return "" if 0 <= pick.choice < num else f"choice must be from 0 to {num - 1} but is {pick.choice}"

        try:
            pick = chat.ask(messages(advice), Pick, check).value
        except ChatFailed as error:
            return 0, f"the memory's own choice, for the model gave none ({error.status}): {error}"
        return pick.choice, chat.endpoint.clean(pick.comment)

    return choose


def messages(advice: Advice) -> list[Message]:
    """The question in words."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": advice.brief}]
