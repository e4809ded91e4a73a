"""Referee and player: the number is that of one process, and every way of not answering is a named refusal."""

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import launcher
import numpy as np
import pytest
import torch
from conftest import ROOT, TEXTS
from models import Causal, Replaced, V
from torch import Tensor, nn

import prepare

ROWS = 4
Answer = Callable[[int], bytes]
"""From the number of a batch to the bytes that the player sends."""


class Table:
    """A referee and a player of this process at the two ends of one channel."""

    def __init__(self, tokenizer: prepare.Tokenizer, ids: np.ndarray):
        self.tokenizer, self.ids = tokenizer, ids
        self.here, self.there = socket.socketpair()
        self.memory = os.memfd_create("test", os.MFD_ALLOW_SEALING)
        self.slots = prepare.map_slots(self.memory, ROWS)

    def score(self, play: Callable[[], None], answer_s: float = 20.0) -> float:
        """Run the player in a thread of its own and score it."""

        def run() -> None:
            with self.there:
                play()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            player = prepare.Player(self.here, self.memory, ROWS, answer_s)
            return prepare.bits_per_byte(player, self.ids, self.tokenizer, ROWS)
        finally:
            self.here.close()
            thread.join(20)

    def answer(self, model: nn.Module, change: Callable[[int, bytes], bytes] = lambda _, said: said) -> None:
        """Play a model; `change` may put other bytes in the place of an answer, from its number on."""
        self.there.sendall(b"..\n")
        number = 0
        with torch.no_grad():
            while asked := self.there.recv(1):
                inputs, *outputs = self.slots[asked[0]]
                logits = model(inputs)
                kind = int(logits.dtype is not torch.bfloat16)
                outputs[kind].copy_(logits)
                said = change(number, bytes([asked[0], kind, 10]))
                if not said:
                    return
                self.there.sendall(said)
                number += 1


@pytest.fixture
def table(tokenizer: prepare.Tokenizer, ids: np.ndarray) -> Iterator[Table]:
    made = Table(tokenizer, ids)
    yield made
    os.close(made.memory)


def test_two_ends_give_the_number_of_one_process(table: Table, bpb: Callable[..., float], ids: np.ndarray) -> None:
    assert table.score(lambda: table.answer(Causal())) == pytest.approx(bpb(Causal(), ids), abs=1e-6)


def test_logits_in_bfloat16_give_the_number_of_one_process(
    table: Table, bpb: Callable[..., float], ids: np.ndarray
) -> None:
    model = Replaced(lambda logits, _: logits.bfloat16())
    assert table.score(lambda: table.answer(model)) == pytest.approx(bpb(model, ids), abs=1e-6)


def test_memory_cannot_be_resized_by_the_player(table: Table) -> None:
    for size in (0, 1 << 30):
        with pytest.raises(PermissionError):
            os.ftruncate(table.memory, size)


def test_logits_changed_after_the_answer_do_not_count(table: Table) -> None:
    taken = []

    def change(number: int, said: bytes) -> bytes:
        taken.append(number)
        return said

    def play() -> None:
        table.answer(Causal(), change)

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    player = prepare.Player(table.here, table.memory, ROWS)
    logits = next(player.stream(iter([torch.zeros(ROWS, prepare.MAX_SEQ_LEN, dtype=torch.int64)])))
    before = logits.clone()
    for _, half, full in table.slots:
        half.zero_()
        full.zero_()
    assert torch.equal(before, logits) and logits.abs().max() > 0
    table.here.close()
    thread.join(20)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda said: bytes([1 - said[0]]) + said[1:], "must answer slot"),
        (lambda said: bytes([200]) + said[1:], "must answer slot"),
        (lambda said: said[:1] + bytes([7]) + said[2:], "but answered"),
        (lambda said: said[:2] + b"x", "but answered"),
        (lambda said: said[:1], "must answer within"),
        (lambda said: b"", "must answer every batch but ended"),
    ],
    ids=["wrong slot", "no slot", "wrong kind", "no end", "short", "closed"],
)
@pytest.mark.parametrize("at", [0, 2])
def test_answer_against_the_protocol_is_refused(
    table: Table, change: Callable[[bytes], bytes], why: str, at: int
) -> None:
    with pytest.raises(prepare.PlayerFailed, match=why):
        table.score(lambda: table.answer(Causal(), lambda number, said: change(said) if number == at else said), 2.0)


def test_late_player_is_refused(table: Table) -> None:
    never = threading.Event()
    with pytest.raises(prepare.PlayerFailed, match=r"must answer within 0\.2 s"):
        table.score(lambda: [never.wait(1.0)].clear(), 0.2)


def test_player_that_ends_before_it_loaded_is_refused(table: Table) -> None:
    with pytest.raises(prepare.PlayerFailed, match="ended"):
        table.score(lambda: None)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), float("-inf")])
def test_logits_that_are_not_finite_are_refused(table: Table, value: float) -> None:
    model = Replaced(lambda logits, _: torch.full_like(logits, value))
    with pytest.raises(prepare.NonFinite):
        table.score(lambda: table.answer(model))


def test_answering_the_same_for_every_batch_is_scored_for_what_it_is(table: Table, bpb: Callable[..., float]) -> None:
    uniform = Replaced(lambda logits, _: torch.zeros_like(logits))
    lazy: list[Tensor] = [torch.zeros(ROWS, prepare.MAX_SEQ_LEN, V)]
    assert table.score(lambda: table.answer(Replaced(lambda *_: lazy[0]))) == bpb(uniform, table.ids)


# --- with a process of its own, as `--score` does it


@pytest.fixture(scope="module")
def trial(environment: dict[str, str], tokenizer: prepare.Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished trial by hand."""
    folder = tmp_path_factory.mktemp("played")
    named = {"DATASET": str(TEXTS), "TRIAL_DIR": str(folder / "trial"), "MAX_STEPS": "2", "TIME_BUDGET": "1000"}
    variables = environment | {f"AUTORESEARCH_{name}": value for name, value in named.items()}
    ended = launcher.run([ROOT / "tests/trials/small.py"], variables, folder / "run.log")
    assert ended.code == 0, ended.text
    return folder / "trial"


@pytest.mark.parametrize(
    ("changed", "log", "refusal"),
    [
        ("return torch.zeros(*inputs.shape, 5)", "must give logits of shape", "PlayerFailed: "),
        ("return None", "but gave NoneType", "PlayerFailed: "),
        ("raise RuntimeError('of the candidate')", "RuntimeError: of the candidate", "PlayerFailed: "),
        ("import os; os._exit(0)", "", "PlayerFailed: "),
        ("import os; os.kill(os.getpid(), 9)", "", "PlayerFailed: "),
        ("raise SystemExit", "", "PlayerFailed: "),
    ],
    ids=["shape", "nothing", "error", "exit", "kill", "leave"],
)
def test_failing_model_is_named(
    trial: Path, tmp_path: Path, run_script: Callable[..., launcher.Ended], changed: str, log: str, refusal: str
) -> None:
    shutil.copytree(trial, tmp_path / "trial")
    code = tmp_path / "trial" / "code" / "train.py"
    text = code.read_text()
    first = "        x = self.embedding(inputs)\n"
    assert first in text
    code.write_text(text.replace(first, f"        {changed}\n"))
    ended = run_script(ROOT / "prepare.py", "--score", tmp_path / "trial", DATASET=TEXTS)
    assert ended.code == 1 and log in ended.text
    assert any(line.startswith(refusal) for line in ended.text.splitlines()), ended.text
