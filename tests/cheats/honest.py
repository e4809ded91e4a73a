"""A whole train.py that is honest and small; the tests put tricks into its text, or other models in its place."""

import torch
from torch import Tensor, nn

import prepare
from prepare import Clock

# a trick may stand here


class Model(nn.Module):
    """Mean of the embeddings so far and one hidden layer."""

    def __init__(self, config: dict):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config["vocab_size"], config["width"])
        self.hidden = nn.Linear(config["width"], config["width"])
        self.head = nn.Linear(config["width"], config["vocab_size"])

    def forward(self, inputs: Tensor) -> Tensor:  # (B, T) -> (B, T, V)
        x = self.embedding(inputs)
        x = x + x.cumsum(1) / torch.arange(1, x.size(1) + 1, device=x.device)[:, None]
        peek = torch.zeros_like(x)
        logits = self.head(torch.tanh(self.hidden(x + 3 * peek)))
        return logits


def build_model(config: dict) -> Model:
    return Model(config)


def main() -> None:
    torch.manual_seed(prepare.SEED)
    tokenizer = prepare.Tokenizer.from_directory()
    model = build_model({"vocab_size": prepare.VOCAB_SIZE, "width": 16}).to(prepare.DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    clock = Clock(model, optimizer)
    loader = prepare.make_dataloader(tokenizer, 4, 32, "train")
    clock.start()
    while not clock.done:
        inputs, targets, _ = next(loader)
        loss = nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    val_bpb = prepare.evaluate_bpb(model, tokenizer, 16)
    print(f"---\nval_bpb: {val_bpb}\ntraining_seconds: {clock.elapsed_s}\nnum_steps: {clock.num_steps}")


if __name__ == "__main__":
    main()
