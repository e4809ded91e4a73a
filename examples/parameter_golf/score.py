"""Scores a submission of parameter golf: bits per byte of the weights as they come out of the artifact, and its size.

`uv run score.py [TRIAL_FOLDER]`. The candidate's code runs in two players, processes of their own that see token
numbers and answer with logits; this process computes everything else. One player sees the text and is ended; then
another sees it up to a random place in each row and noise behind that, several times, and the rows in other orders:
there both must say the same, which a model that looks ahead or learns from what it is scored on cannot. What this does
not cover: docs/arenas.md.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import torch
from artifact import Invalid, pack, read_weights, unpack
from shards import count_bytes, read_pieces, read_shards

if TYPE_CHECKING:
    from autoresearch.sandbox import Confinement

# the real challenge: fineweb10B_sp1024/fineweb, fineweb_1024_bpe, 1024 and 256
SHARDS = "data/datasets/stdlib_sp512/*_val_*.bin"
TOKENIZER = "data/tokenizers/stdlib_512_bpe.model"
ROW_TOKENS = 128
BATCH_ROWS = 64
CODE = ("train_gpt.py",)  # everything that a player needs to have the model back, counted in bytes
LIMIT_BYTES = 16_000_000
HELD_PACKAGES = ("pygments", "matplotlib", "pydantic", "rich", "typer", "markdown-it-py", "fonttools", "pillow")
"""Whose text is the small validation text: players do not see them."""
OWN = (__file__, *(str(Path(__file__).with_name(name)) for name in ("artifact.py", "shards.py")))
DRAWS = 4
"""How often the second player reads a row, with noise behind another place."""
MOST_ROWS = 8192
"""That the second player reads; of a longer text so many are drawn, when the first has answered."""
LEAVING_S = 5.0
"""For a player that is asked nothing more."""
LARGEST_GAP, MEAN_GAP = 0.02, 0.001
"""How far the two players may be apart, in nats of the target: anywhere, and on average where it is new to both."""


# --- the two players


class Player:
    """A process that has the candidate's model and is asked for logits."""

    def __init__(self, folder: Path, artifact: bytes, confinement: "Confinement | None", name: str) -> None:
        self.folder, self.name = folder / name, name
        self.folder.mkdir()
        (self.folder / "artifact.bin").write_bytes(artifact)
        for path in (*CODE, *OWN):
            shutil.copy(path, self.folder)
        command = [sys.executable, "-E", "-s", str(self.folder / Path(__file__).name), "--play"]
        command, env = confine(confinement, self.folder, command)
        with open(folder / f"{name}.log", "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )

    def ask(self, rows: np.ndarray, num_pieces: int) -> None:
        """Send rows (B, T), whose answer has so many logits for each token."""
        try:
            self.process.stdin.write(struct.pack("<III", *rows.shape, num_pieces) + rows.astype("<i4").tobytes())
            self.process.stdin.flush()
        except OSError:
            pass  # `answer` says why

    def answer(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Logits (B, T, pieces) of the rows that it was sent."""
        data = bytearray(4 * math.prod(shape))
        if self.process.stdout.readinto(data) < len(data):
            self.process.wait()
            log = (self.folder.parent / f"{self.name}.log").read_text(errors="replace")
            raise SystemExit(f"{log[-4000:]}\nthe player must answer every batch but ended (see above)")
        return torch.frombuffer(data, dtype=torch.float32).view(shape)

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.close()  # nothing more is asked; what confines it ends when all of it has ended
        try:
            self.process.wait(timeout=LEAVING_S if error is None else 0)
        except subprocess.TimeoutExpired as late:
            self.process.kill()
            self.process.wait()
            if error is None:
                raise Invalid(f"a player must end within {LEAVING_S:.0f} s when nothing more is asked") from late


def find_confinement(is_open: bool) -> "Confinement | None":
    """What confines players here; None without the tooling beside this file.

    Raises:
        Invalid: it is not bubblewrap, and no person said that players may be open.
    """
    try:
        from autoresearch import sandbox
    except ImportError as error:
        found, why = None, f"the tooling could not be imported: {error}"
    else:
        found = sandbox.find()
        why = str(found)
    if not is_open and (found is None or found.kind != "bubblewrap"):  # under Landlock they can leave each other word
        raise Invalid(f"players must be confined by bubblewrap but: {why}; --open scores all the same")
    return found


def confine(confinement: "Confinement | None", folder: Path, command: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of a player that is confined."""
    kept = ("PATH", "LANG", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    if confinement is None or confinement.kind == "open":
        return command, env
    from autoresearch import sandbox

    compiled = folder / "compiled"
    compiled.mkdir()
    view = sandbox.view(folder, compiled, [], [Path.cwd(), *sandbox.package_files(HELD_PACKAGES)], env)
    view = dataclasses.replace(view, shares_memory=False)  # in which the two could leave each other the text
    return sandbox.command(confinement, view, command), dict(view.env)


def play() -> None:
    """Be a player: the model of this folder, token numbers in, logits out."""
    answers, questions = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)  # what the candidate prints is no answer
    spec = importlib.util.spec_from_file_location("train_gpt", CODE[0])
    assert spec and spec.loader
    candidate = importlib.util.module_from_spec(spec)
    sys.modules["train_gpt"] = candidate
    spec.loader.exec_module(candidate)
    model = candidate.build_model()
    weights = unpack(Path("artifact.bin").read_bytes())
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device).eval()
    while head := questions.read(12):
        *shape, num_pieces = struct.unpack("<III", head)
        rows = torch.from_numpy(np.frombuffer(questions.read(4 * math.prod(shape)), "<i4").reshape(shape).copy())
        with torch.inference_mode():
            logits = model(rows.long().to(device)).float().cpu().contiguous()
        if logits.shape != (*shape, num_pieces):
            raise Invalid(f"model(inputs) must give logits {(*shape, num_pieces)} but gave {tuple(logits.shape)}")
        answers.write(logits.numpy().tobytes())
        answers.flush()


# --- the score


def rows_of(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows with their targets (N, T + 1), and which of the targets count (N, T): each of the text does in one row."""
    num_targets = len(tokens) - 1
    length = min(ROW_TOKENS, num_targets)
    begins = np.minimum(np.arange(0, num_targets, length), num_targets - length)  # the last row laps over, to be whole
    counts = np.ones((len(begins), length), dtype=bool)
    counts[-1, : -num_targets % length] = False
    return tokens[begins[:, None] + np.arange(length + 1)], counts


def log_probabilities(player: Player, inputs: np.ndarray, targets: torch.Tensor, num_pieces: int) -> torch.Tensor:
    """What a player says of all targets (N, T), asked for the rows in an order that it cannot know."""
    order = np.random.default_rng().permutation(len(inputs))
    size = min(BATCH_ROWS, len(order))
    batches = [order.take(range(begin, begin + size), mode="wrap") for begin in range(0, len(order), size)]
    said = torch.empty(targets.shape, dtype=torch.float64)
    player.ask(inputs[batches[0]], num_pieces)
    for batch, following in zip_longest(batches, batches[1:]):
        logits = player.answer((*inputs[batch].shape, num_pieces))
        if following is None:
            batch = order[size * (len(batches) - 1) :]  # behind these stand rows that it has seen, to fill the batch
        else:
            player.ask(inputs[following], num_pieces)
        said[batch] = log_probability(logits[: len(batch)], targets[batch])
    return said


def log_probability(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Of targets (B, T), so that the probabilities of all pieces sum to one, whatever the logits are."""
    logits = logits.to("cuda" if torch.cuda.is_available() else "cpu", torch.float64)
    found = (logits.gather(-1, targets[..., None].to(logits.device))[..., 0] - logits.logsumexp(-1)).cpu()
    if not torch.isfinite(found).all():
        raise Invalid("logits must be finite")
    return found


def total_loss(player: Callable[[str], Player], tokens: np.ndarray, num_pieces: int) -> float:
    """Nats of all targets.

    Args:
        player: gives one of that name.

    Raises:
        Invalid: the players disagree about a target that neither has been shown.
    """
    rows, counts = rows_of(tokens)
    inputs, targets = rows[:, :-1], torch.from_numpy(rows[:, 1:].copy())
    with player("seeing") as seeing:
        said = log_probabilities(seeing, inputs, targets, num_pieces)
    chosen = np.random.default_rng().permutation(len(inputs))[:MOST_ROWS]
    with player("blind") as blind:  # never together: two that run can talk
        compare(blind, inputs[chosen], targets[chosen], said[chosen], num_pieces)
    return -float(said[torch.from_numpy(counts)].sum())


def compare(blind: Player, inputs: np.ndarray, targets: torch.Tensor, said: torch.Tensor, num_pieces: int) -> None:
    """Ask again with noise behind a place in each row.

    Args:
        said: log-probabilities of the targets, in the words of a player that saw what follows them.

    Raises:
        Invalid: they are others now.
    """
    chance = np.random.default_rng()  # nobody can know the places
    # in rising order: a player that keeps what it was shown has not been shown the next target either
    draws = np.sort(chance.integers(1, inputs.shape[1] + 1, size=(DRAWS, len(inputs), 1)), axis=0)
    largest, new = 0.0, []
    for num_seen in draws:
        is_seen = np.arange(inputs.shape[1]) < num_seen
        noisy = np.where(is_seen, inputs, chance.integers(num_pieces, size=inputs.shape))
        gap = (said - log_probabilities(blind, noisy, targets, num_pieces)).abs()
        largest = max(largest, float(gap[torch.from_numpy(is_seen)].max()))
        new.append(gap.gather(1, torch.from_numpy(num_seen) - 1))
    mean = float(torch.cat(new).mean())
    if largest > LARGEST_GAP or mean > MEAN_GAP:
        raise Invalid(
            "logits must follow from the tokens before them alone but where others follow they are up to "
            f"{largest:.4f} nats off, {mean:.4f} on average"
        )


def score(folder: Path, is_open: bool = False) -> dict[str, object]:
    """Everything that is said of a submission.

    Args:
        is_open: a person said that players may run where bubblewrap does not confine them.
    """
    confinement = find_confinement(is_open)
    weights = read_weights(folder / "submission" / "weights.npz")
    artifact = pack(weights)
    num_code = sum(Path(path).stat().st_size for path in CODE)
    num_bytes = num_code + len(artifact)
    pieces, tokens = read_pieces(Path(TOKENIZER)), read_shards(SHARDS).astype(np.int64)
    with tempfile.TemporaryDirectory(prefix="players-") as name:
        loss = total_loss(partial(Player, Path(name), artifact, confinement), tokens, len(pieces))
    num_targets, num_text = len(tokens) - 1, count_bytes(pieces, tokens)
    val_loss, val_bpb = loss / num_targets, loss / math.log(2) / num_text
    return {
        "val_bpb": f"{val_bpb:.6f}",
        "final_int8_zlib_roundtrip": f"val_loss {val_loss:.6f}, val_bpb {val_bpb:.6f}, {num_bytes} bytes",
        "model_params": sum(one.size for one in weights.values()),
        "code_bytes": num_code,
        "artifact_bytes": num_bytes,
        "artifact_mb": num_bytes / 1e6,
        "within_16mb": "yes" if num_bytes < LIMIT_BYTES else "no",
        "scored_tokens": num_targets,
        "scored_bytes": num_text,
        "players": confinement.kind if confinement else "open",
    }


def main() -> None:
    """Score a trial folder, or be a player."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("results/manual"))
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--open", action="store_true", help="score though bubblewrap does not confine the players")
    asked = parser.parse_args()
    if asked.play:
        play()
        return
    print("---", *(f"{name}: {value}" for name, value in score(asked.folder, asked.open).items()), sep="\n")


if __name__ == "__main__":
    main()
