"""Mistakes in layers, normalization, running statistics, initial weights."""

from __future__ import annotations

from .planting import mistakes

_NORM = ("tests/recorded", "tests/normalization", "tests/nn/test_batchnorm.py")
_LAYER = ("tests/nn/test_batchnorm.py", "tests/recorded")
_NN = ("tests/nn/test_nn.py", "tests/nn/test_batchnorm.py", "tests/recorded")

PLANTS = [
    *mistakes(
        "minigrad/normalization/batch.py",
        _NORM,
        (
            "dx = scale * (g - d_beta / n - x_hat * (d_gamma / n))  # (9')",
            "dx = scale * (g - d_beta - x_hat * d_gamma)",
            "1/N is missing",
        ),
        (
            "dx = scale * (g - d_beta / n - x_hat * (d_gamma / n))  # (9')",
            "dx = scale * (g - d_beta / n)",
            "variance as a constant",
        ),
        (
            "dx = scale * (g - d_beta / n - x_hat * (d_gamma / n))  # (9')",
            "dx = scale * (g - x_hat * (d_gamma / n))",
            "mean as a constant",
        ),
        (
            'scale = inv_std if gamma is None else named(reshape(gamma, wide) * inv_std, "scale")',
            "scale = inv_std",
            "gamma is missing",
        ),
        (
            "squared / float(max(count(x.shape, axis), 1))",
            "squared / float(max(count(x.shape, axis) - 1, 1))",
            "divided by N - 1",
        ),
        (
            'inv_std = named(1.0 / sqrt(v + eps), "inv_std")  # (3)',
            'inv_std = named(1.0 / (sqrt(v) + eps), "inv_std")',
            "eps outside the root",
        ),
        ("shifted = x - first if first.size else x", "shifted = x", "statistics far from zero"),
        (
            "scale * g, like(d_gamma, gamma)",
            "scale * (g - d_beta / 3.0), like(d_gamma, gamma)",
            "inference takes its statistics for the batch's",
        ),
        ("-0.5 * scale * inv_std * d_gamma", "-0.5 * scale * d_gamma", "the slope of a given variance"),
        ("d_mean, d_var = -scale * d_beta,", "d_mean, d_var = scale * d_beta,", "the slope of a given mean"),
        (
            "return axes == tuple(range(len(axes))) or all(n == 1 for n in wide)",
            "return True",
            "gamma is not put where it belongs",
        ),
        (
            'centred = named(sub(x, mu), "centred")\n            squared',
            'centred = named(sub(x, mu) * 1.0, "centred")\n            squared',
            "the staged form with an op the more",
        ),
        (
            "y = x_hat if gamma is None else x_hat * reshape(gamma, wide)",
            "y = x_hat if gamma is None else x_hat * (reshape(gamma, wide) + 1e-9)",
            "gamma is off by 1e-9",
        ),
    ),
    *mistakes(
        "minigrad/normalization/layer.py",
        _NORM,
        (
            "(h - mean(h, axis=axis, keepdims=True) - x_hat * along)",
            "(h - x_hat * along)",
            "layer norm: mean as a constant",
        ),
        (
            "(h - mean(h, axis=axis, keepdims=True) - x_hat * along)",
            "(h - mean(h, axis=axis, keepdims=True))",
            "layer norm: variance as a constant",
        ),
        (
            "along = mean(h * x_hat, axis=axis, keepdims=True)",
            "along = mean(g * x_hat, axis=axis, keepdims=True)",
            "layer norm: gamma outside the mean",
        ),
        ("h = g if gamma is None else g * reshape(gamma, wide)  # (8)", "h = g", "layer norm: gamma is missing"),
        (
            "None if trailing else wide",
            "wide",
            "layer norm: a reshape the more",
            "a reshape to the same shape changes no value",
        ),
    ),
    *mistakes(
        "minigrad/nn/batchnorm.py",
        _LAYER,
        ("count / (count - 1) if rules.unbiased else 1.0", "1.0", "no convention has the unbiased variance"),
        (
            "count / (count - 1) if rules.unbiased else 1.0",
            "count / (count - 1)",
            "every convention has the unbiased variance",
        ),
        ("return (n - 1) / n, 1 / n", "return n / (n + 1), 1 / (n + 1)", "the paper's average counts the start"),
        ('"keras": Convention(momentum=0.99, eps=1e-3', '"keras": Convention(momentum=0.99, eps=1e-5', "Keras' eps"),
        (
            '"cs231n": Convention(momentum=0.9, eps=1e-5, momentum_keeps=True, start_var=0.0',
            '"cs231n": Convention(momentum=0.9, eps=1e-5, momentum_keeps=True, start_var=1.0',
            "cs231n's start",
        ),
        (
            "axis = 0 if values.ndim == 2 else (0, 2)",
            "axis = 0 if values.ndim == 2 else (0, 1)",
            "channels of three axes",
        ),
        (
            "        if not self.training:\n            given_mean",
            "        if False:\n            given_mean",
            "eval() takes the batch's statistics",
        ),
        ("count = values.size // self.num_features", "count = len(values)", "three axes: rows in place of values"),
        (
            "mean, var = (_first(values) + offset).reshape(-1), var.reshape(-1)",
            "mean, var = offset.reshape(-1), var.reshape(-1)",
            "the first row is not added to the mean",
        ),
        ("current().frozen, *(saved", "False, *(saved", "frozen statistics move"),
        (
            "mean / (1.0 - share), np.maximum(var - share * start, 0) / (1.0 - share)",
            "mean / (1.0 - share), var / (1.0 - share)",
            "the start of the variance is not taken out",
        ),
        (
            "self.updates._array[...], self.start_share._array[...] = n, keep * float(self.start_share._array)",
            "self.updates._array[...], self.start_share._array[...] = n, keep",
            "the share of the start does not fall",
        ),
        ("self.start_share: 1})", "self.start_share: 0})", "reset statistics believe that they hold no start"),
        (
            "written(self.running_mean, self.running_var, self.updates, self.start_share)",
            "pass",
            "moved statistics do not count as written",
        ),
        (
            "        if not finite:\n            self._refuse(values, var)",
            "        if False:\n            self._refuse(values, var)",
            "a batch with NaN is let through",
        ),
        (
            "    if not np.isfinite(moved).all():\n        return False",
            "    if False:\n        return False",
            "statistics move although the batch is refused",
        ),
        ("if count < 2:", "if count < 1:", "one value a channel"),
        (
            "[*affine, self.running_mean, self.running_var]",
            "[*affine, self.running_var, self.running_mean]",
            "Keras' order of weights",
        ),
        ("(given[-1] < 0).any()", "False", "a negative variance is set"),
        ("layer.momentum = None", "pass", "average_statistics takes a running average"),
        (
            "        for layer, momentum, _ in before:\n            layer.momentum = momentum",
            "        pass",
            "average_statistics forgets to put the momentum back",
        ),
        (
            "            layer.reset_statistics()\n",
            "            pass\n",
            "average_statistics begins with what was there",
            "the first of N batches counts n = updates + 1: without a reset it would not be 1",
        ),
    ),
    *mistakes(
        "minigrad/nn/layers.py",
        _NN,
        (
            "return functional.linear(x, self.weight, self.bias)",
            "return functional.linear(x, self.weight)",
            "Linear without its bias",
        ),
        (
            "functional.dropout(x, self.p, self.rng) if self.training else x",
            "functional.dropout(x, self.p, self.rng)",
            "dropout in eval()",
        ),
        ("ops.leaky_relu(x, slope=self.slope)", "ops.leaky_relu(x)", "LeakyReLU's slope is not looked at"),
        (
            'hidden_bias = norm != "batch" if bias is None else bias',
            "hidden_bias = True if bias is None else bias",
            "a bias before every batch norm",
        ),
        (
            "layers.append(Dropout(dropout, rng=source))",
            "layers.insert(-1, Dropout(dropout, rng=source))",
            "dropout before the activation",
        ),
        (
            "axis=tuple(range(-len(self._shape), 0)), eps=self.eps)",
            "axis=tuple(range(-len(self._shape), 0)))",
            "LayerNorm's eps",
        ),
        ("axis=tuple(range(-len(self._shape), 0)), eps", "axis=-1, eps", "LayerNorm over the last axis alone"),
        (
            'ones(self._shape, dtype=dtype, requires_grad=True, name="gamma") if affine and scale',
            'ones(self._shape, dtype=dtype, requires_grad=True, name="gamma") if affine',
            "LayerNorm: scale=False has a gamma",
        ),
        ("layers.append(ACTIVATIONS[activation]())", "layers.append(ReLU())", "MLP: activation is not looked at"),
        (
            "BatchNorm1d(outputs, dtype=dtype, allow_bias=bool(bias), **norm_options)",
            "BatchNorm1d(outputs, dtype=dtype, allow_bias=bool(bias))",
            "MLP: options of the norm are lost",
        ),
    ),
    *mistakes(
        "minigrad/nn/init.py",
        _NN,
        (
            "math.sqrt(2.0 / ((1.0 + slope * slope) * _fans(shape)[0])",
            "math.sqrt(2.0 / ((1.0 + slope) * _fans(shape)[0])",
            "kaiming: the slope, not its square",
        ),
        (
            "math.sqrt(6.0 / ((1.0 + slope * slope) * _fans(shape)[0])",
            "math.sqrt(3.0 / ((1.0 + slope * slope) * _fans(shape)[0])",
            "kaiming uniform: half the variance",
        ),
        (
            "math.sqrt(2.0 / sum(_fans(shape)))",
            "math.sqrt(1.0 / sum(_fans(shape)))",
            "glorot normal: half the variance",
        ),
        ("math.sqrt(6.0 / sum(_fans(shape)))", "math.sqrt(6.0 / max(_fans(shape)))", "glorot uniform: one side alone"),
        ("return shape[0], shape[1]", "return shape[1], shape[0]", "fans exchanged"),
    ),
]
