"""What a model says -> a value, or what is wrong with it in words that the model can act on."""

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError

MOST_STARTS = 1000  # places where an object may begin; each costs a look, and hostile text has many
MOST_FAULTS = 10

Model = TypeVar("Model", bound=BaseModel)


def parse(text: str, schema: type[Model]) -> Model:
    """The one JSON object in a text, alone, fenced or among prose, as a value of the schema.

    Raises:
        ValueError: there is none, there are several, or it does not fit; the message goes to the model.
    """
    found = _objects(text)
    if len(found) != 1:
        raise ValueError(f"the answer must hold exactly one JSON object but holds {len(found) or 'none'}")
    try:
        return schema.model_validate(found[0])
    except ValidationError as error:
        raise ValueError(complaint_of(error)) from error


def _objects(text: str) -> list[object]:
    """JSON objects that are not part of another, those with NaN or infinity left out."""
    decoder = json.JSONDecoder(parse_constant=_refuse)
    found: list[object] = []
    place = text.find("{")
    for _ in range(MOST_STARTS):
        if place < 0:
            break
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            found.append(value)
        place = text.find("{", end)
    return found


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def complaint_of(error: ValidationError) -> str:
    """What does not fit, by place; the values themselves are left out, for they may be long."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'the answer'}: {one['msg']}" for one in faults[:MOST_FAULTS]]
    return "; ".join(told)
