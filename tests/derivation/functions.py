"""Functions as users compose them, with inputs: {name: (function, shapes or arrays, hypotheses)}."""

from typing import Any

import numpy as np

import minigrad as mg

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.normal(size=shape)


def shares(*shape):
    t = np.abs(normal(*shape)) + 0.1
    return t / t.sum(axis=-1, keepdims=True)


def batch_norm(x, gamma, beta):
    return mg.batch_norm_composed(x, gamma, beta, variance="staged")


def batch_norm_primitive(x, gamma, beta):
    return mg.batch_norm_composed(x, gamma, beta)


def batch_norm_images(x, gamma, beta):
    return mg.batch_norm_composed(x, gamma, beta, axis=(0, 2, 3), variance="staged")


def layer_norm(x, gamma, beta):
    return mg.layer_norm_composed(x, gamma, beta)


def rms_norm(x, gamma):
    rms = mg.sqrt(mg.mean(mg.square(x), axis=1, keepdims=True) + 1e-5).named("rms")
    return (x / rms).named("x_hat") * gamma


def softmax(z):
    e = mg.exp(z - mg.max(z, axis=1, keepdims=True)).named("e")
    s = mg.sum(e, axis=1, keepdims=True).named("s")
    return (e / s).named("p")


def softmax_temperature(x, t):
    return softmax(x / t)


def log_softmax(x):
    return mg.log_softmax(x)


def cross_entropy_labels(logits, labels):
    return mg.cross_entropy_composed(logits, labels)


def cross_entropy_probabilities(z, t):
    return -mg.sum(t * mg.log(softmax(z)), axis=1)


def cross_entropy_log_softmax(z, t):
    return -mg.sum(t * mg.log_softmax(z).named("log_p"), axis=1)


def sigmoid(z):
    return 1.0 / (1.0 + mg.exp(-z)).named("d")


def bce(z, t):
    s = sigmoid(z).named("s")
    return -(t * mg.log(s) + (1.0 - t) * mg.log((1.0 - s).named("q")))


def bce_softplus(z, t):
    return t * mg.softplus(-z) + (1.0 - t) * mg.softplus(z)


def l2_norm(x):
    n = mg.sqrt(mg.sum(mg.square(x), axis=1, keepdims=True)).named("norm")
    return x / n


def weight_norm(v, gain):
    n = mg.sqrt(mg.sum(mg.square(v), axis=1, keepdims=True)).named("norm")
    return (v / n).named("u") * gain


def cosine(x, w):
    nx = mg.sqrt(mg.sum(x * x, axis=1, keepdims=True)).named("nx")
    nw = mg.sqrt(mg.sum(w * w, axis=1, keepdims=True)).named("nw")
    return mg.sum((x / nx).named("xh") * (w / nw).named("wh"), axis=1)


def tanh(x):
    a, b = mg.exp(x).named("a"), mg.exp(-x).named("b")
    return ((a - b) / (a + b)).named("t")


def silu(z):
    s = (1.0 / (1.0 + mg.exp(-z))).named("s")
    return z * s


def variance(x):
    centred = (x - mg.mean(x, axis=0)).named("centred")
    return mg.mean(mg.square(centred), axis=0)


def variance_unbiased(x):
    return mg.var(x, axis=0, ddof=1)


def standardized_unbiased(x):
    return (x - mg.mean(x, axis=0)) / (mg.std(x, axis=0, ddof=1) + 1e-5)


def logsumexp(x):
    top = mg.max(x, axis=1, keepdims=True)
    e = mg.exp(x - top).named("e")
    s = mg.sum(e, axis=1, keepdims=True).named("s")
    return mg.log(s) + top


def relu(x):
    return mg.relu(x)


def leaky_relu(x):
    return mg.leaky_relu(x, slope=0.01)


def linear_batch_norm(x, w, b):
    return mg.batch_norm_composed(mg.linear(x, w, b), variance="staged")


def gelu_tanh(x):
    return 0.5 * x * (1.0 + mg.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def mish(x):
    return x * mg.tanh(mg.softplus(x))


def group_norm(x):
    return mg.reshape(mg.layer_norm_composed(mg.reshape(x, (x.shape[0], 2, -1)), axis=2), x.shape)


def two_layers(x, w, v):
    return mg.tanh(x @ w) @ v


ONE = {"t": "sums to 1"}
FUNCTIONS: dict[str, Any] = {
    f.__name__: (f, inputs, assume)
    for f, inputs, assume in [
        (batch_norm, [normal(7, 11), normal(11), normal(11)], {}),
        (batch_norm_primitive, [normal(7, 11), normal(11), normal(11)], {}),
        (batch_norm_images, [normal(2, 3, 4, 4), normal(3), normal(3)], {}),
        (layer_norm, [normal(7, 11), normal(11), normal(11)], {}),
        (rms_norm, [normal(7, 11), normal(11)], {}),
        (softmax, [normal(5, 4)], {}),
        (softmax_temperature, [normal(5, 4), np.array(2.0)], {}),
        (log_softmax, [normal(5, 4)], {}),
        (cross_entropy_labels, [normal(5, 4), np.array([0, 3, 1, 2, 2])], {}),
        (cross_entropy_probabilities, [normal(5, 4), shares(5, 4)], ONE),
        (cross_entropy_log_softmax, [normal(5, 4), shares(5, 4)], ONE),
        (sigmoid, [normal(6)], {}),
        (bce, [normal(6), rng.uniform(0.2, 0.8, 6)], {}),
        (bce_softplus, [normal(6), rng.uniform(0.2, 0.8, 6)], {}),
        (l2_norm, [normal(5, 4)], {}),
        (weight_norm, [normal(5, 4), normal(5, 1)], {}),
        (cosine, [normal(5, 4), normal(5, 4)], {}),
        (tanh, [normal(6)], {}),
        (silu, [normal(6)], {}),
        (variance, [normal(7, 3)], {}),
        (variance_unbiased, [normal(7, 3)], {}),
        (standardized_unbiased, [normal(7, 3)], {}),
        (logsumexp, [normal(5, 4)], {}),
        (relu, [normal(5, 4)], {}),
        (leaky_relu, [normal(5, 4)], {}),
        (linear_batch_norm, [normal(7, 4), normal(4, 3), normal(3)], {}),
        (gelu_tanh, [normal(6)], {}),
        (mish, [normal(6)], {}),
        (two_layers, [normal(5, 4), normal(4, 3), normal(3, 2)], {}),
    ]
}
