"""A train.py in miniature that uses every hook of prepare.py and prints its trace to the last bit.

The trial's folder may hold `commands.json`, {step: content of control.json}: laid down before that step, like a
supervisor that is always on time.
"""

import json
import os
from typing import Any

import torch
from torch import Tensor, nn

import prepare

SCHEDULE = prepare.Schedule(warmup=0.1, decay=0.5, final=0.1)


class Small(nn.Module):
    """Mean of the embeddings so far, dropout, one hidden layer."""

    def __init__(self, config: dict):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config["vocab_size"], config["width"])
        self.hidden = nn.Linear(config["width"], config["width"])
        self.head = nn.Linear(config["width"], config["vocab_size"])
        self.dropout = nn.Dropout(0.1)

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.embedding(inputs)
        x = x + x.cumsum(1) / torch.arange(1, x.size(1) + 1, device=x.device)[:, None]
        return self.head(torch.tanh(self.hidden(self.dropout(x))))


def build_model(config: dict) -> Small:
    return Small(config)


def lay_down(commands: dict[str, Any], step: int) -> None:
    if str(step) in commands:
        command = commands[str(step)]
        text = command if isinstance(command, str) else json.dumps(command)
        with prepare.replacing(prepare.trial_dir() / "control.json") as file:
            file.write(text.encode())


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(prepare.SEED)
    tokenizer = prepare.Tokenizer.from_directory()
    model = build_model({"vocab_size": prepare.VOCAB_SIZE, "width": 16}).to(prepare.DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    clock = prepare.Clock(model, optimizer)
    loader = prepare.make_dataloader(tokenizer, 4, 32, "train")
    commands_file = prepare.trial_dir() / "commands.json"
    commands = json.loads(commands_file.read_text()) if commands_file.exists() else {}
    parts = {"model": model, "optimizer": optimizer, "loader": loader, "clock": clock}
    step = prepare.load_checkpoint(prepare.RESUME, **parts) if prepare.RESUME else 0  # type: ignore[arg-type]

    def update() -> float:
        inputs, targets, _ = next(loader)
        loss = nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    start = loader.row
    with clock.warmup():
        update()
    loader.row = start
    clock.start()
    loss = 0.0
    while not clock.done:
        lay_down(commands, step)
        control = prepare.emit_progress(step=step, step_target=prepare.MAX_STEPS, metrics={"train_loss": loss})
        p = clock.progress(0.0)
        lr = 0.01 * (control.schedule or SCHEDULE).lr_scale(p) * control.lr_scale
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss = update()
        print(f"trace {step} {p!r} {lr!r} {loss!r}", flush=True)
        step += 1
        if prepare.CHECKPOINT_STEPS and step % prepare.CHECKPOINT_STEPS == 0:
            prepare.save_checkpoint(step, **parts)  # type: ignore[arg-type]
    print("report", json.dumps(clock.report()))
    if not os.environ.get("SKIP_EVALUATION"):
        print(f"val_bpb: {prepare.evaluate_bpb(model, tokenizer, 16)!r}")


if __name__ == "__main__":
    main()
