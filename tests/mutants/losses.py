"""Mistakes in losses, softmax, dropout and what checks their arguments."""

from __future__ import annotations

from .planting import mistakes

_ALL = ("tests/recorded", "tests/test_losses.py", "tests/test_functional.py")

PLANTS = [
    *mistakes(
        "minigrad/losses.py",
        _ALL,
        (
            '    if reduction == "mean":\n        return mean(each)',
            '    if reduction == "mean":\n        return mean(each, axis=0)',
            "the mean over the first axis alone",
        ),
        (
            '    if reduction == "sum":\n        return sum_(each)',
            '    if reduction == "sum":\n        return mean(each)',
            "sum is mean",
        ),
        ("return each if shape is None else reshape(each, shape)", "return each", "losses of rows stay flat"),
        ("(exp(log_p) - callback(", "(log_p - callback(", "softmax without exp in the rule"),
        ("(reshape(g, (-1, 1)) * (exp(log_p)", "(mean(g) * (exp(log_p)", "the rule takes one g for all rows"),
        (
            "    hit[np.arange(len(labels)), labels] = 1.0",
            "    hit[np.arange(len(labels)), labels] = 1.0 - 1e-6",
            "almost one-hot",
        ),
        (
            "return -saved[0][np.arange(len(labels)), labels]",
            "return -saved[0][np.arange(len(labels)), labels - 1]",
            "the label before",
        ),
        (
            "(1.0 - t) * sigmoid(z) - t * sigmoid(-z)",
            "(1.0 - t) * sigmoid(z) - t * (1.0 - sigmoid(z))",
            "the slope by 1 - sigmoid, which loses digits far out",
        ),
        (
            "return z * (np.greater(z, 0) - t) + np.log1p(np.exp(-np.abs(z)))",
            "return z * (1.0 - t) + np.log1p(np.exp(-z))",
            "the loss overflows far out",
        ),
        ("return g * slope, -(g * z)", "return g * slope, g * z", "the slope of targets turned round"),
        (
            "return g * slope, -(g * z)",
            "return g * (sigmoid(z) - t), -(g * z)",
            "digits of the slope lost where t is 1",
        ),
        ("p = clip(p, low=eps, high=1.0 - eps)", "p = clip(p, low=eps, high=1.0)", "log(0) at p = 1"),
        ("p = clip(p, low=eps, high=1.0 - eps)", "p = clip(p, low=1e-7, high=1.0 - 1e-7)", "eps is not looked at"),
        (
            "-(mul(t, log(p)) + mul(sub(1.0, t), log(sub(1.0, p))))",
            "-(mul(t, log(p)) + log(sub(1.0, p)))",
            "1 - t is missing",
        ),
        (
            "mul(t, softplus(-z)) + mul(sub(1.0, t), softplus(z))",
            "mul(t, softplus(z)) + mul(sub(1.0, t), softplus(-z))",
            "the composed form with the signs exchanged",
        ),
        (
            '_reduced(square(sub(*_pair("mse_loss", prediction, target))), reduction)',
            '_reduced(0.5 * square(sub(*_pair("mse_loss", prediction, target))), reduction)',
            "half a square",
        ),
        (
            '_reduced(abs(sub(*_pair("l1_loss", prediction, target))), reduction)',
            '_reduced(square(sub(*_pair("l1_loss", prediction, target))) ** 0.5, reduction)',
            "l1 by a root: no slope at 0",
        ),
        ("where(near, 0.5 * square(d)", "where(near, square(d)", "huber: a whole square"),
        (
            "np.less_equal, raw(size)",
            "np.less, raw(size)",
            "huber: the line begins at delta itself",
            "both pieces have the same value and slope there",
        ),
        ("    if shapes[0] != shapes[1]:", "    if raw(a).size != raw(b).size:", "a column is compared with a row"),
        ("else b.astype(raw(a).dtype)", "else b.astype(float)", "integer targets make float32 losses float64"),
        ('if given.dtype.kind not in "iu":', 'if given.dtype.kind not in "iuf":', "labels that are no integers"),
        (">= classes:  # without a sign", "> classes:  # without a sign", "the label one beyond the last"),
        ("np.minimum.reduce(values, axis=None) >= 0 and ", "", "negative targets are taken"),
        (
            "return scores if len(shape) == 2 else reshape(scores, (-1, shape[-1])), flat",
            "return scores if len(shape) == 2 else reshape(scores, (shape[-1], -1)).T, flat",
            "rows of three axes are mixed up",
        ),
    ),
    *mistakes(
        "minigrad/functional.py",
        (*_ALL, "tests/nn/test_nn.py"),
        ("source.random(shape) >= p", "source.random(shape) >= 1 - p", "dropout keeps a share p"),
        ("kept.astype(dtype) * (1.0 / (1.0 - p))", "kept.astype(dtype)", "dropout does not scale"),
        ("return exp(log_softmax(x, axis))", "return exp(log_softmax(x))", "softmax: axis is not looked at"),
        (
            "return top if finite.all() else",
            "return top if True else",
            "softmax of a row of -inf",
            "a row without a finite number is NaN either way",
        ),
        ("if given != wanted[1:]:", "if False:", "a bias of a wrong shape is broadcast"),
    ),
]
