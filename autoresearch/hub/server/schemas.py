"""JSON Schemas of what crosses the wire; `openapi.json` is made of them."""

from autoresearch.hub.server.operation import Schema

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer"}
TIME: Schema = {"type": "string", "format": "date-time"}
HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{4,64}$"}
LIMIT: Schema = {"type": "integer", "minimum": 1, "description": "at most 200; junk reads as the default"}
OFFSET: Schema = {"type": "integer", "minimum": 0}
PAGE = {"limit": LIMIT, "offset": OFFSET}


def record(optional: tuple[str, ...] = (), **fields: Schema) -> Schema:
    """An object with these fields."""
    return {"type": "object", "properties": fields, "required": [name for name in fields if name not in optional]}


def array(of: Schema) -> Schema:
    """A bare array."""
    return {"type": "array", "items": of}


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


ERROR = record(error=TEXT)
COMMIT = record(hash=HASH, parent_hash=TEXT, agent_id=TEXT, message=TEXT, created_at=TIME)
CHANNEL = record(id=NUMBER, name=TEXT, description=TEXT, created_at=TIME)
POST = record(id=NUMBER, channel_id=NUMBER, agent_id=TEXT, parent_id=nullable(NUMBER), content=TEXT, created_at=TIME)
