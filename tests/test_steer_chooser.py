"""A language model that chooses among the memory's plans: it is obeyed, corrected, and done without."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import chat_stub
import pytest
import yaml
from chat_stub import Stub
from conftest import ROOT
from steer_rows import SPACE, row
from steering import VARIABLES, Desk

from autoresearch.chat import Call, Chat, Endpoint
from autoresearch.steer import logs, memory
from autoresearch.steer.chooser import chooser
from autoresearch.steer.config import Config
from autoresearch.steer.memory import Choose
from autoresearch.steer.rows import FINALS, LLM, Final, Start

KEY = "sk-very-secret"
FINALS_SO_FAR = [row(1.3 - number / 100, number, SPACE.spread(number)) for number in range(8)]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with chat_stub.serve() as running:
        yield running


def choose(stub: Stub, calls: list[Call]) -> Choose:
    endpoint = Endpoint(stub.url, "m", KEY, timeout_s=0.4, num_retries=0)
    return chooser(Chat(endpoint, record=calls.append))


def begin(how: Choose | None) -> Start:
    config = Config(tag="t", rounds=30, total_steps=1000, lr_init=3e-4)
    return memory.remember(config, how)(FINALS_SO_FAR)


def test_chooser_is_shown_the_brief_and_is_obeyed(stub: Stub) -> None:
    stub.say({"choice": 2, "comment": f"unknown; {KEY}"})
    calls: list[Call] = []
    own, start = begin(None), begin(choose(stub, calls))
    assert own.brief in stub.requests[0].text and start.brief == own.brief
    assert (own.memory["kind"], start.memory["kind"], start.memory["choice"]) == ("improve", "explore", 2)
    assert start.memory["comment"] == "unknown; ***", "an endpoint may say the key back"
    assert [one.status for one in calls] == ["ok"]


def test_chooser_is_told_which_numbers_there_are(stub: Stub) -> None:
    stub.say({"choice": 7, "comment": ""}, {"choice": 1, "comment": "then this"})
    assert begin(choose(stub, [])).memory["choice"] == 1
    assert "choice must be from 0 to 2 but is 7" in stub.requests[1].text


BAD = {
    "malformed": (chat_stub.Answer("plan 1, please"), "invalid"),
    "no plan": (chat_stub.Answer(json.dumps({"choice": -1, "comment": ""})), "invalid"),
    "no answer": (chat_stub.Answer(f"no {KEY}", status=500), "http 500"),
    "not there": (chat_stub.Answer(reset=True), "connection"),
    "silent": (chat_stub.Answer(hold=True), "timeout"),
}


@pytest.mark.parametrize("kind", BAD)
def test_chooser_leaves_the_memorys_own_choice_where_the_model_fails(stub: Stub, kind: str) -> None:
    stub.always, status = BAD[kind]
    calls: list[Call] = []
    own, start = begin(None), begin(choose(stub, calls))
    assert start.plan == own.plan and start.memory["choice"] == 0
    assert f"({status})" in start.memory["comment"] and KEY not in start.memory["comment"]
    assert [one.status for one in calls] == [status]


def test_verb_has_the_model_of_the_memory_choose_and_writes_no_key(stub: Stub, tmp_path: Path) -> None:
    stub.say({"choice": 1, "comment": "steeper"})
    model = {"url": stub.url, "model": "m", "key_env": "MEMORY_KEY"}
    desk = Desk(tmp_path, {"total_steps": 40, "k": 10, "rounds": 2, "lr_init": 1.0, "llm": {"memory": model}})
    values = desk.config().model_dump(mode="json", exclude_defaults=True)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    env = VARIABLES | {"PYTHONPATH": str(ROOT), "MEMORY_KEY": KEY}
    command = [sys.executable, "-m", "autoresearch", "steer", "c.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert stub.requests[0].headers["authorization"] == f"Bearer {KEY}"
    second = logs.read(desk.home / FINALS, Final)[1]
    assert (second.memory["choice"], second.memory["comment"]) == (1, "steeper")
    asked = [json.loads(line) for line in (desk.home / LLM).read_text().splitlines()]
    assert [(one["asked_by"], one["status"], one["prompt_tokens"]) for one in asked] == [("memory", "ok", 10)]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert written and not any(KEY.encode() in one for one in [*written, done.stdout.encode(), done.stderr.encode()])
