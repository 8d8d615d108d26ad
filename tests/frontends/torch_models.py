"""The models that tests/frontends/test_from_torch.py reads: a small one for each layer, all with a loss, in float64."""

# classes of a library that may be absent:
# mypy: disable-error-code="misc,name-defined"

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models that mg.from_torch is tested with need torch")
nn, F = torch.nn, torch.nn.functional


class Trained(nn.Module):
    """A model with a loss on its output."""

    def __init__(self, net, loss):
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, *args):
        *inputs, target = args
        return self.loss(self.net(*inputs), target)


class Function(nn.Module):
    """A function whose results are summed up with fixed weights."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        y = self.function(*args)
        return (y * torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)).sum()


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.inner = nn.BatchNorm1d(width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.inner(F.relu(self.norm(x)))


class Attention(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(n, t, width))
        return x + self.mlp(self.norm2(x))


class Words(nn.Module):
    """The mean of word vectors, and a line on it."""

    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(7, 4, padding_idx=0), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.words(x).mean(dim=1))


class Tied(nn.Module):
    """Words in and words out by one matrix."""

    def __init__(self):
        super().__init__()
        self.words, self.hidden, self.out = nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7, bias=False)
        self.out.weight = self.words.weight

    def forward(self, x):
        return self.out(torch.tanh(self.hidden(self.words(x))))


def focal(scores, labels):
    """A loss of its own: cross-entropy that looks less at what is certain already."""
    log_p = F.log_softmax(scores, dim=-1).gather(-1, labels[:, None]).squeeze(-1)
    return (-((1 - log_p.exp()) ** 2) * log_p).mean() + 1e-2 * scores.square().mean().sqrt()


class Shared(nn.Module):
    """One layer called twice, with a detached target."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, x):
        first = torch.tanh(self.layer(x))
        return ((self.layer(first) - first.detach()) ** 2).mean()


RNG = np.random.default_rng(3)
X, Y = torch.tensor(RNG.normal(size=(8, 5))), torch.tensor(RNG.integers(0, 3, 8))
SIGNAL, TEXT = torch.tensor(RNG.normal(size=(4, 6, 5))), torch.tensor(RNG.integers(0, 7, (6, 5)))


def mlp(*norms):
    return nn.Sequential(nn.Linear(5, 6), *norms, nn.ReLU(), nn.Linear(6, 3))


def on_signal(norm):
    """(4, 6, 5) -> (4, 3), with a norm over channels."""
    return nn.Sequential(norm, nn.SiLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 3))


CLASSES, SQUARE = nn.CrossEntropyLoss(), nn.MSELoss()
MODELS = {
    "batch norm, train": lambda: (Trained(mlp(nn.BatchNorm1d(6)), CLASSES).train(), X, Y),
    "batch norm, eval": lambda: (Trained(mlp(nn.BatchNorm1d(6)), CLASSES).eval(), X, Y),
    "batch norm, signal": lambda: (Trained(on_signal(nn.BatchNorm1d(6)), CLASSES), SIGNAL, Y[:4]),
    "layer norm": lambda: (Trained(mlp(nn.LayerNorm(6)), CLASSES), X, Y),
    "group norm": lambda: (Trained(on_signal(nn.GroupNorm(3, 6)), CLASSES), SIGNAL, Y[:4]),
    "RMS norm": lambda: (Trained(mlp(nn.RMSNorm(6)), CLASSES), X, Y),
    "instance norm": lambda: (Trained(on_signal(nn.InstanceNorm1d(6, affine=True)), CLASSES), SIGNAL, Y[:4]),
    "residual": lambda: (
        Trained(nn.Sequential(Residual(5), Residual(5), nn.Linear(5, 3)), nn.CrossEntropyLoss(label_smoothing=0.1)),
        X,
        Y,
    ),
    "attention": lambda: (Trained(Attention(4, 2), SQUARE), SIGNAL[..., :4], SIGNAL[..., 1:]),
    "multi-head attention": lambda: (
        Trained(nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True).train(), SQUARE),
        SIGNAL[..., :4],
        SIGNAL[..., 1:],
    ),
    "embedding": lambda: (Trained(Words(), CLASSES), TEXT, Y[:6]),
    "autoencoder": lambda: (
        Trained(nn.Sequential(nn.Linear(5, 2), nn.Tanh(), nn.Linear(2, 5)), nn.SmoothL1Loss()),
        X,
        X,
    ),
    "dropout, eval": lambda: (Trained(mlp(nn.Dropout(0.5)), CLASSES).eval(), X, Y),
    "a loss of its own": lambda: (Trained(mlp(), focal), X, Y),
    "tied weights": lambda: (Trained(Tied(), CLASSES), TEXT[:, 0], TEXT[:, 1]),
    "ignored labels": lambda: (Trained(mlp(), nn.CrossEntropyLoss(ignore_index=0, weight=torch.ones(3))), X, Y),
    "one layer twice": lambda: (Shared(), X),
}


def made(name):
    """(model in float64, its inputs)."""
    torch.manual_seed(0)
    model, *args = MODELS[name]()
    model.double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d) and not model.training:
            module.running_mean.copy_(torch.linspace(-1, 1, module.num_features))
            module.running_var.copy_(torch.linspace(1, 2, module.num_features))
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 1:
                p.copy_(torch.linspace(0.5, 1.5, len(p)))  # gamma = 1 would hide a missing gamma
    return model, args


# --------------------------------------------------------------------------------------------------------------
# One function for each op: (function, inputs from a generator)


def of(*shapes):
    return lambda rng: [rng.normal(size=s) for s in shapes]


def positive(rng):
    return [rng.uniform(0.2, 2.0, (3, 4))]


def unit(rng):
    return [rng.uniform(0.1, 0.9, (3, 4)), rng.uniform(0.1, 0.9, (3, 4))]


ONE, TWO, CUBE = of((3, 4)), of((3, 4), (3, 4)), of((2, 3, 4))


def all_of(module, names):
    """Every function named, stacked: one export for all of them."""
    return lambda *args: torch.stack([getattr(module, name)(*args) for name in names.split()])


ACTIVATIONS = (
    "elu selu celu gelu silu mish relu relu6 hardtanh hardswish leaky_relu softplus softsign tanhshrink logsigmoid "
    "sigmoid tanh normalize"
)
FUNCTIONS = {
    "activations": (all_of(F, ACTIVATIONS), ONE),
    "elementwise": (all_of(torch, "sin cos exp expm1 abs square neg erf"), ONE),
    "of positive numbers": (all_of(torch, "log log1p sqrt rsqrt reciprocal"), positive),
    "of two": (all_of(torch, "add sub mul div maximum minimum"), TWO),
    "of all": (all_of(torch, "std var sum mean prod norm"), ONE),
    "losses": (all_of(F, "mse_loss l1_loss smooth_l1_loss huber_loss"), TWO),
    "losses of shares": (all_of(F, "binary_cross_entropy binary_cross_entropy_with_logits"), unit),
    "glu": (F.glu, ONE),
    "softmin": (lambda x: F.softmin(x, dim=1), ONE),
    "kl_div": (lambda x, y: F.kl_div(x.log(), y, reduction="batchmean"), unit),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), ONE),
    "softplus 2": (lambda x: F.softplus(20 * x, beta=2), ONE),
    "pow": (lambda x: x**3 + x**2 + 2.0**x, ONE),
    "alpha": (lambda x, y: torch.add(x, y, alpha=3) - torch.rsub(x, y, alpha=2), TWO),
    "clamp": (lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0), ONE),
    "where": (lambda x, y: torch.where((x > 0) & ~(y < -1), x, y).masked_fill(x.isnan() | (y > 2), 0.5), TWO),
    "addmm": (lambda x, y: torch.addmm(x[0], x, y.T @ y, beta=2, alpha=3), TWO),
    "einsum": (lambda x, y: torch.einsum("bij,bkj->bik", x, y), of((2, 3, 4), (2, 5, 4))),
    "bmm": (lambda x: torch.bmm(x, x.mT) @ x, CUBE),
    "outer": (lambda x: torch.outer(x[0], x[1]) @ x[2], ONE),
    "reductions": (
        lambda x: x.sum(1, keepdim=True) + x.mean((0, 1)) + x.var(0, correction=0).sum() + x.std(2, keepdim=True),
        CUBE,
    ),
    "extremes": (lambda x: x.amax(1) - x.amin(1) + x.max(1)[0] * x.min(1)[0] + x.max() * x.min(), CUBE),
    "positions": (lambda x: x * x.argmax(1, keepdim=True) + x.argmin(0) + x.max(1, keepdim=True)[1], ONE),
    "var_mean": (lambda x: sum(torch.var_mean(x, 1, correction=0)), ONE),
    "logsumexp": (lambda x: x.logsumexp(1) + x.cumsum(0)[1, :3] + x.log_softmax(0)[:, 0], ONE),
    "shapes": (lambda x: x.reshape(6, 4).view(2, 12).unsqueeze(1).transpose(0, 1).squeeze(0).flatten(), CUBE),
    "slices": (lambda x: x[:, 1:, ::2] + x[0, :2, 1:3] + x[..., 1:3].select(1, 0)[:, None], CUBE),
    "pieces": (lambda x: torch.cat([*x.chunk(2, 1), torch.stack(x.unbind(0))[:, :1]], 1).flip(1).repeat(1, 1), ONE),
    "split": (lambda x: torch.split(x, [1, 3], 1)[1] * x[:, :1], ONE),
    "index": (lambda x: x[torch.arange(3), torch.tensor([0, 2, 2])] + x.index_select(1, torch.tensor([1])).T, ONE),
    "gather": (lambda x: x.gather(1, torch.tensor([[0, 0], [1, 2], [3, 3]])), ONE),
    "pad": (lambda x: F.pad(x, (1, 2, 0, 1)), ONE),
    "triangle": (lambda x: torch.tril(x) + torch.triu(x, 1) * 2, ONE),
    "filled": (lambda x: x + torch.zeros_like(x) + torch.ones(4) + torch.full((3, 1), 2.0) + torch.arange(4), ONE),
    "dtypes": (lambda x: x.float().double() * (x > 0) + x.to(torch.float32)[0, 0], ONE),
    "pool": (lambda x: F.avg_pool1d(x, 2) + F.adaptive_avg_pool1d(x, 2) + F.avg_pool2d(x, (1, 2)), CUBE),
    "attention": (lambda x, y: F.scaled_dot_product_attention(x, y, y, scale=0.3), of((2, 3, 4), (2, 5, 4))),
    "masked attention": (lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=torch.eye(3) > 0), CUBE),
    "instance norm": (lambda x: F.instance_norm(x), CUBE),
    "rms norm": (lambda x: F.rms_norm(x, (4,), eps=1e-3), ONE),
    "batch norm of 3 axes": (lambda x: F.batch_norm(x, None, None, training=True), CUBE),
    "nll": (lambda x: F.nll_loss(x.log_softmax(1), torch.tensor([0, 3, 1]), reduction="sum"), ONE),
    "distances": (lambda x, y: F.cosine_similarity(x, y) + F.pairwise_distance(x, y), TWO),
}
