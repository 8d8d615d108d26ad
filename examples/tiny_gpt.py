"""A character model of one attention block, trained in seconds on sentences that stand in this file.

    python -m examples.tiny_gpt                          the loss falling, a sample, and tiny_gpt.svg
    python -m examples.tiny_gpt --steps 200 --out ""     a short run without the picture

Every op is one of minigrad's: the attention is two matrix products and a softmax. What comes later must not be seen:
the weights of later characters are set to zero by a mask, before the softmax. The picture folds each module into one
card, but for the block, which it shows open.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.drawing import RendererNotFound

TEXT = """
a graph is a list of nodes. each node is a value. each value comes from an op. an op has inputs and a rule.
the forward pass goes from the leaves to the loss. the backward pass goes from the loss to the leaves.
the rule of an op takes the gradient of its result. the rule gives the gradient of each input.
what was added is copied. what was copied is added. what was broadcast is summed. what was summed is broadcast.
a gradient is a sum over paths. each path is a product of slopes. the walk adds the paths at each node.
the mean of a column is zero after the norm. the variance of a column is one after the norm.
a layer has weights and a bias. a bias before a norm is useless. the norm takes the mean away.
the loss falls when the step goes down the slope. a large step goes too far. a small step takes too long.
"""
CONTEXT, WIDTH = 24, 32  # characters that the model sees at once, numbers that it keeps of each
CHARACTERS = sorted(set(" ".join(TEXT.split())))
TOKENS = np.array([CHARACTERS.index(c) for c in " ".join(TEXT.split())])
LATER = np.triu(np.full((CONTEXT, CONTEXT), -1e9), 1)  # [i, j]: added to how much i looks at j; j > i comes later


class Embedding(nn.Module):
    """What a character means, plus what its place means: (N, T) integers to (N, T, WIDTH)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.character = mg.tensor(rng.normal(0, 0.1, (len(CHARACTERS), WIDTH)), requires_grad=True)
        self.place = mg.tensor(rng.normal(0, 0.1, (CONTEXT, WIDTH)), requires_grad=True)

    def forward(self, tokens: Any) -> Any:
        return self.character[tokens] + self.place[: tokens.shape[1]]


class Attention(nn.Module):
    """Each place asks (query), is asked (key) and tells (value): softmax(q k^T / sqrt(WIDTH) + mask) v."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.query = nn.Linear(WIDTH, WIDTH, bias=False, rng=rng)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False, rng=rng)
        self.value = nn.Linear(WIDTH, WIDTH, bias=False, rng=rng)

    def forward(self, x: Any) -> Any:
        t = x.shape[1]
        q, k, v = self.query(x), self.key(x), self.value(x)
        scores = q @ mg.swapaxes(k, 1, 2) / np.sqrt(WIDTH) + LATER[:t, :t]
        weights = mg.softmax(scores).named("weights")
        return weights @ v


class Block(nn.Module):
    """Attention, then a small network at each place; each adds to what it was given."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention(rng)
        self.network = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH, rng=rng), nn.ReLU(), nn.Linear(4 * WIDTH, WIDTH, rng=rng)
        )

    def forward(self, x: Any) -> Any:
        x = (x + self.attention(self.norm1(x))).named("looked")
        return (x + self.network(self.norm2(x))).named("thought")


class TinyGPT(nn.Module):
    """(N, T) characters as integers to (N, T, K) logits of the character that follows each."""

    def __init__(self, rng: int | np.random.Generator = 0) -> None:
        rng = np.random.default_rng(rng)
        self.embedding = Embedding(rng)
        self.block = Block(rng)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, len(CHARACTERS), rng=rng)

    def forward(self, tokens: Any) -> Any:
        return self.head(self.norm(self.block(self.embedding(tokens))))


def windows(count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """`count` pieces of the text, and the same pieces one character later."""
    starts = rng.integers(0, len(TOKENS) - CONTEXT, count)
    at = starts[:, None] + np.arange(CONTEXT)
    return TOKENS[at], TOKENS[at + 1]


def loss_of(net: TinyGPT, tokens: Any, following: Any) -> Any:
    """The mean of -log(probability of the character that follows), over all places of all pieces."""
    logits = net(tokens)
    return mg.cross_entropy(mg.reshape(logits, (-1, len(CHARACTERS))), following.reshape(-1))


def train(net: TinyGPT, steps: int, rng: np.random.Generator, report: int = 100) -> list[float]:
    """Adam on random pieces; the losses."""
    optimizer = mg.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for step in range(steps):
        loss = loss_of(net, *windows(32, rng))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if report and (step == 0 or (step + 1) % report == 0):
            print(f"step {step + 1:5d}   loss {np.mean(losses[-report:]):.3f}")
    return losses


def sample(net: TinyGPT, start: str, length: int, rng: np.random.Generator, temperature: float = 0.8) -> str:
    """Go on writing: each character is drawn from what the model says of it."""
    tokens = [CHARACTERS.index(c) for c in start]
    with mg.no_grad():
        for _ in range(length):
            logits = net(np.array([tokens[-CONTEXT:]]))[0, -1]
            p = mg.softmax(logits.astype("float64") / temperature).numpy()
            tokens.append(int(rng.choice(len(p), p=p)))
    return "".join(CHARACTERS[t] for t in tokens)


def picture(net: TinyGPT, **options: Any) -> Any:
    """The graph of one loss: modules folded, the block open."""
    loss = loss_of(net, *windows(2, np.random.default_rng(0)))
    return mg.draw(loss.named("loss"), **{"depth": 2, "backward": False, "title": "One attention block", **options})


def main(argv: Sequence[str] | None = None) -> int:
    """Train, print the loss and a sample, draw."""
    parser = argparse.ArgumentParser(prog="python -m examples.tiny_gpt", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="tiny_gpt.svg", help="where the graph is drawn; nowhere for an empty name")
    args = parser.parse_args(argv)
    net, rng = TinyGPT(args.seed), np.random.default_rng(args.seed)
    count = sum(p.size for p in net.parameters())
    print(f"{len(TOKENS)} characters, {len(CHARACTERS)} different ones; {count} weights")
    print(f"a guess without looking costs {np.log(len(CHARACTERS)):.3f}")
    train(net, args.steps, rng)
    print(sample(net, "the ", 160, rng))
    if args.out:
        try:
            print(f"wrote {picture(net).save(args.out)}")
        except RendererNotFound as error:
            print(f"no picture: {error}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
