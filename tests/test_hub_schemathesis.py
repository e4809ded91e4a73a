"""Generated requests for every operation of the served openapi.json: no answer is a 5xx, and each is as described.

Not covered: operations that stream without end.
"""

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hub_process import bundle
from hubs import Client, Live, serving
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

NUM_EXAMPLES = 10
KNOWN: dict[str, list[Any]] = {"name": ["results", "discussion"], "id": [1, 2, 3], "path": ["train.py"]}
"""Values for parts of paths of which there is something to be found."""
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A hub with something to find."""
    with serving(tmp_path_factory.mktemp("hub")) as one:
        agent = one.join("tester")
        for name in ("results", "discussion"):
            agent.post("/api/channels", name=name)
            agent.post(f"/api/channels/{name}/posts", content="first")
            agent.post(f"/api/channels/{name}/posts", content="reply", parent_id=2)
        pushed = agent.call("POST", "/api/git/push", data=bundle("first"))
        KNOWN["hash"] = KNOWN["a"] = KNOWN["b"] = pushed.json()["hashes"]
        yield one


def operations_of(live: Live) -> list[Any]:
    """All operations of the served description whose answers end."""
    read: Any = schemathesis.openapi.from_url(live.url + "/openapi.json").get_all_operations()
    return [
        one for one in (each.ok() for each in read) if "text/event-stream" not in str(one.definition.raw["responses"])
    ]


def has_bad_paths(operation: Any) -> bool:
    """Whether some text is no valid part of its path."""
    schemas = [one["schema"] for one in operation.definition.raw.get("parameters", ()) if one["in"] == "path"]
    return any(schema.keys() - {"type", "minLength"} or schema["type"] != "string" for schema in schemas)


def call_generated(operation: Any, mode: GenerationMode, callers: dict[str, Client]) -> None:
    """Call one operation with generated values, as the caller that it asks for."""
    needs = [name for each in operation.definition.raw.get("security", ()) for name in each]
    key = callers[needs[0] if needs else "agent"].key

    @hypothesis.settings(
        max_examples=NUM_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def call(case: Any, data: st.DataObject) -> None:
        for name in set(case.path_parameters or ()) & set(KNOWN):
            if data.draw(st.booleans()):
                case.path_parameters[name] = data.draw(st.sampled_from(KNOWN[name]))
        if case.query and "wait" in case.query:
            case.query["wait"] = 0
        response = case.call(headers={"Authorization": f"Bearer {key}"}, timeout=20)
        case.validate_response(response, checks=CHECKS)

    call()


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_schemathesis_finds_answers_as_described(live: Live, mode: GenerationMode) -> None:
    callers = {"agent": live.join(f"agent-{mode.value}"), "admin": live.admin()}
    operations = operations_of(live)
    assert len(operations) >= 8
    for operation in operations:
        can_be_negative = operation.query or operation.body or has_bad_paths(operation)
        if mode is GenerationMode.POSITIVE or can_be_negative:
            call_generated(operation, mode, callers)
