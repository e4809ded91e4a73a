"""Mutable: a small policy learns to sort digits from rewards alone, by GRPO (arXiv 2402.03300), from scratch.

A rollout is a number of tasks with a group of sampled answers each; there is no reference policy to stay close to.
Groups whose answers all earn the same teach nothing and are left out, so the number of optimizer steps differs from
rollout to rollout. The learning rate therefore follows the progress of the run, never a count of optimizer steps.
Shapes: N answers, L digits of one, D digits (10).
"""

import json
import os
import random
from pathlib import Path

import torch
from autoresearch_rl.target.progress import emit_progress
from torch import Tensor, nn

DIGITS = 10
WIDTH = 128
NUM_ROLLOUTS = 32
NUM_TASKS = 32  # of one rollout
GROUP = 16  # answers to one task
EPOCHS = 2  # over the answers of one rollout
CLIP = 0.2
LR_END_FRAC = 0.1  # of the peak, at the end of the run
WARMUP = 0.05  # of the run

PARAMS = json.loads(os.environ.get("AR_PARAMS_JSON", "{}"))
LEARNING_RATE = PARAMS.get("learning_rate", 6e-3)
MINIBATCH = PARAMS.get("minibatch", 128)  # answers of one optimizer step


def progress(rollout: int, step: int, num_steps: int, num_rollouts: int = NUM_ROLLOUTS) -> float:
    """Share of the run that is done with an optimizer step, 0 to 1.

    Args:
        rollout: from 0.
        step: of this rollout, from 1 to `num_steps`, which no other rollout needs to share.
    """
    return (rollout + step / num_steps) / num_rollouts


def lr_scale(done: float) -> float:
    """Learning rate at a progress, as a share of the peak: a warm-up, then straight down to LR_END_FRAC."""
    if done < WARMUP:
        return done / WARMUP
    return 1 - (1 - LR_END_FRAC) * (done - WARMUP) / (1 - WARMUP)


def reward(task: list[int], answer: list[int]) -> float:
    """What an answer earns: the share of its digits that are in place."""
    return sum(one == other for one, other in zip(sorted(task), answer, strict=True)) / len(task)


class Policy(nn.Module):
    """Writes an answer digit by digit, given the task and what is written so far."""

    def __init__(self, length: int):
        super().__init__()
        self.length = length
        size = 2 * length * (DIGITS + 1)
        self.net = nn.Sequential(nn.Linear(size, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
        self.head = nn.Linear(WIDTH, DIGITS)

    def logits(self, tasks: Tensor, answers: Tensor) -> Tensor:
        """Of the next digit: (N, L), (N, digits so far) -> (N, D)."""
        blank = tasks.new_full((len(tasks), self.length - answers.shape[1]), DIGITS)
        seen = torch.cat([tasks, answers, blank], 1)
        return self.head(self.net(nn.functional.one_hot(seen, DIGITS + 1).flatten(1).float()))

    def answer(self, tasks: Tensor, greedy: bool = False) -> Tensor:
        """Answers, sampled or the likeliest: (N, L)."""
        answers = tasks[:, :0]
        for _ in range(self.length):
            logits = self.logits(tasks, answers)
            digit = logits.argmax(1) if greedy else torch.distributions.Categorical(logits=logits).sample()
            answers = torch.cat([answers, digit[:, None]], 1)
        return answers

    def log_probability(self, tasks: Tensor, answers: Tensor) -> Tensor:
        """Of each digit: (N, L)."""
        logits = torch.stack([self.logits(tasks, answers[:, :place]) for place in range(self.length)], 1)  # (N, L, D)
        return logits.log_softmax(2).gather(2, answers[:, :, None])[:, :, 0]


def roll_out(policy: Policy, tasks: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
    """Sample a group of answers for each task.

    Returns:
        Tasks and answers that teach something, by how much each answer is better than its group, and the mean reward.
    """
    repeated = tasks.repeat_interleave(GROUP, 0)
    with torch.no_grad():
        answers = policy.answer(repeated)
    pairs = zip(repeated.tolist(), answers.tolist(), strict=True)
    rewards = torch.tensor([reward(task, answer) for task, answer in pairs]).view(-1, GROUP)
    spread = rewards.std(1, keepdim=True)
    advantage = ((rewards - rewards.mean(1, keepdim=True)) / (spread + 1e-6)).flatten()
    teaches = (spread > 1e-6).expand_as(rewards).flatten()
    return repeated[teaches], answers[teaches], advantage[teaches], float(rewards.mean())


def learn(policy: Policy, optimizer: torch.optim.Optimizer, rollout: int, tasks: Tensor) -> tuple[float, int]:
    """Roll out and make the optimizer steps that it is worth; returns the mean reward and their number."""
    tasks, answers, advantage, mean = roll_out(policy, tasks)
    batches = [batch for _ in range(EPOCHS) for batch in torch.randperm(len(tasks)).split(MINIBATCH) if len(batch)]
    with torch.no_grad():
        before = policy.log_probability(tasks, answers)
    for step, batch in enumerate(batches, 1):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * lr_scale(progress(rollout, step, len(batches)))
        ratio = (policy.log_probability(tasks[batch], answers[batch]) - before[batch]).exp()
        gain = advantage[batch, None]
        loss = -torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return mean, len(batches)


def main() -> None:
    """Train, and answer the held-out tasks."""
    torch.set_num_threads(1)
    torch.manual_seed(int(os.environ.get("AR_SEED", "1")))
    data, source = json.loads(Path("tasks.json").read_text()), random.Random(1)
    policy = Policy(len(data["train"][0]))
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.0)
    for rollout in range(NUM_ROLLOUTS):
        tasks = torch.tensor(source.sample(data["train"], NUM_TASKS))
        mean, num_steps = learn(policy, optimizer, rollout, tasks)
        report = {"reward": mean, "lr": optimizer.param_groups[0]["lr"], "optimizer_steps": num_steps}
        emit_progress(step=rollout + 1, step_target=NUM_ROLLOUTS, metrics=report)
    answers = policy.answer(torch.tensor(data["held"]), greedy=True).tolist()
    (Path(os.environ["AR_MODEL_DIR"]) / "answers.json").write_text(json.dumps(answers))
    torch.save(policy.state_dict(), Path(os.environ["AR_MODEL_DIR"]) / "policy.pt")


if __name__ == "__main__":
    main()
