"""score.py of parameter golf: models that see more than what came before, in players of this process."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from golf import artifact, score


class Seat:
    """A player in this process."""

    def __init__(self, logits: Callable[[torch.Tensor], torch.Tensor]):
        self.logits = logits

    def ask(self, rows: np.ndarray, num_pieces: int) -> None:
        self.rows = torch.from_numpy(np.ascontiguousarray(rows))

    def answer(self, shape: tuple[int, ...]) -> torch.Tensor:
        logits = self.logits(self.rows).float()
        assert logits.shape == shape
        return logits

    def __enter__(self) -> "Seat":
        return self

    def __exit__(self, *ended: object) -> None:
        pass


def loss_of(player: Callable[[], Callable[[torch.Tensor], torch.Tensor]], num_tokens: int = 3000) -> float:
    """Loss per target of a model over 16 pieces, on text without any pattern."""
    tokens = np.random.default_rng(0).integers(16, size=num_tokens)
    return score.total_loss(lambda name: Seat(player()), tokens, 16) / (num_tokens - 1)  # type: ignore[arg-type, return-value]


def peek(by: int, sharp: float = 9.0) -> Callable[[torch.Tensor], torch.Tensor]:
    """A model that expects the token so many places further on."""
    return lambda rows: sharp * torch.nn.functional.one_hot(rows.roll(-by, dims=1), 16)


def remembering() -> Callable[[torch.Tensor], torch.Tensor]:
    """A model that counts what it has been shown, and expects more of it."""
    counts = torch.zeros(16)

    def logits(rows: torch.Tensor) -> torch.Tensor:
        counts.add_(torch.bincount(rows.flatten(), minlength=16))
        return (counts / counts.sum()).log().expand(*rows.shape, 16)

    return logits


def test_loss_of_honest_models_counts_each_target_once() -> None:
    assert loss_of(lambda: peek(0)) == pytest.approx(math.log(math.exp(9) + 15) - 9 / 16, rel=0.02)
    assert loss_of(lambda: lambda rows: torch.zeros(*rows.shape, 16)) == pytest.approx(math.log(16))


@pytest.mark.parametrize("num_tokens", [2, 50, 129, 130, 256, 257, 20_000])
def test_each_target_counts_in_one_row(num_tokens: int) -> None:
    tokens = np.arange(num_tokens)
    rows, counts = score.rows_of(tokens)
    assert np.array_equal(np.sort(rows[:, 1:][counts]), tokens[1:]) and (np.diff(rows) == 1).all()


def over_the_end(rows: torch.Tensor) -> torch.Tensor:
    """A model that says at the end of a row what depends on how the next one of the batch begins."""
    logits = torch.zeros(*rows.shape, 16)
    logits[:, -1, 0] = rows.roll(-1, dims=0)[:, 0].float()
    return logits


@pytest.mark.parametrize(
    "cheat",
    [lambda: peek(1), lambda: peek(5), lambda: peek(1, 0.01), remembering],
)
def test_models_that_see_more_than_what_came_before_are_refused(cheat: Callable) -> None:
    with pytest.raises(artifact.Invalid, match="from the tokens before them alone"):
        loss_of(cheat)


def test_model_that_looks_into_the_next_row_is_refused() -> None:
    with pytest.raises(artifact.Invalid, match="from the tokens before them alone"):
        loss_of(lambda: over_the_end, 60_000)


def peek_once() -> Callable[[torch.Tensor], torch.Tensor]:
    """A model that looks ahead at one place in each row, unless it was shown what came before: then it remembers."""
    known: dict[bytes, int] = {}

    def logits(rows: torch.Tensor) -> torch.Tensor:
        said = torch.zeros(*rows.shape, 16)
        for number, row in enumerate(rows.numpy()):
            place = 7 * row[0]  # chosen by what comes before
            said[number, place, known.setdefault(row[: place + 1].tobytes(), int(row[place + 1]))] = 9.0
        return said

    return logits


def test_blind_player_reads_a_sample_of_a_long_text() -> None:
    num_read: list[int] = []

    def counting() -> Callable[[torch.Tensor], torch.Tensor]:
        num_read.append(0)

        def logits(rows: torch.Tensor) -> torch.Tensor:
            num_read[-1] += len(rows)
            return torch.zeros(*rows.shape, 16)

        return logits

    loss_of(counting, 9024 * score.ROW_TOKENS + 1)
    assert num_read == [9024, score.DRAWS * score.MOST_ROWS] and score.MOST_ROWS < 9024


def num_caught(num_rows: int, num_trials: int) -> int:
    """How often such a model is refused on a text of so many rows."""
    caught = 0
    for _ in range(num_trials):
        try:
            loss_of(peek_once, num_rows * score.ROW_TOKENS + 1)
        except artifact.Invalid:
            caught += 1
    return caught


def test_look_ahead_at_few_places_is_caught_as_the_docs_say() -> None:
    """A place by itself with a chance of 1 - (127/128)^4, 3.1%; one in each of 150 rows all but certainly, 99.1%."""
    assert 3 <= num_caught(1, 600) <= 40
    assert num_caught(150, 20) >= 17
