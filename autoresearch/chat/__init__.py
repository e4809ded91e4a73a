"""One LLM endpoint: structured output, time-out, retries, token ledger.

What a model answers is data: it is checked against a schema and never run. The key goes to the endpoint and stands in
no error and no record, though the endpoint may say it back.
"""

from autoresearch.chat.conversation import Call, Chat, Message, Reply
from autoresearch.chat.endpoint import Endpoint

__all__ = ["Call", "Chat", "Endpoint", "Message", "Reply"]
