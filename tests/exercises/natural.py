"""41 mistakes that learners make: the wrong answer beside the words that must be said of each step that it breaks.

(exercise, code, {step: words}). They are the natural mistakes of each derivation, not those that the exercises list.
"""

from .answers import NINE, RMS, loss, norm, pair, rms, rule, steps

POWER = "the power of inv_std is wrong"
DDOF = {"d_gamma": "the normalization uses the biased one", "dx": "the normalization uses the biased one"}
NATURAL = [
    ("sqrt", rule("g / out"), {"dx": "the 1/2 is missing"}),
    ("sqrt", rule("g * 0.5 * x ** 0.5"), {"dx": "the power is wrong: the slope of x**0.5 is 0.5 * x**-0.5"}),
    ("sqrt", rule("g / (2 * x)"), {"dx": "x stands where its root belongs"}),
    ("sqrt", rule("1 / (2 * out)"), {"dx": "the rule does not multiply by g"}),
    ("mean", rule("mg.broadcast_to(g, x.shape)"), {"dx": "1/N is missing"}),
    ("mean", rule("mg.broadcast_to(g / x.size, x.shape)"), {"dx": "divided by the number of all elements"}),
    ("broadcasting", pair("g * w", "(g * x).mean(axis=0)"), {"dw": "a mean stands where a sum belongs"}),
    ("broadcasting", pair("g * w", "(g * x)[0]"), {"dw": "a broadcast is not summed"}),
    ("broadcasting", pair("g * w", "g.sum(axis=0) * x.sum(axis=0)"), {"dw": "is not the product of the sums"}),
    ("broadcasting", pair("g", "g.sum(axis=0)"), {"dx": "w is missing", "dw": "x is missing"}),
    ("var", rule("2 * g * x / len(x)"), {"dx": "the mean is not subtracted"}),
    ("var", rule("2 * g * (x - x.mean(axis=0))"), {"dx": "1/N is missing"}),
    ("var", rule("2 * g * (x - x.mean(axis=0)) / (len(x) - 1)"), {"dx": "divided by N - 1"}),
    ("matmul", pair("g @ w", "x.T @ g"), {"dx": "w stands where its transpose belongs"}),
    ("matmul", pair("g @ w.T", "g.T @ x"), {"dw": "this is the transpose"}),
    ("softmax", rule("g * out * (1 - out)"), {"dx": "only the diagonal"}),
    ("softmax", rule("-out * (g * out).sum(axis=-1, keepdims=True)"), {"dx": "the direct term is left out"}),
    ("softmax", rule("out * (g - (g * out).sum(axis=0))"), {"dx": "wrong axis: the sum runs over the last axis"}),
    ("softmax", rule("out * (g + (g * out).sum(axis=-1, keepdims=True))"), {"dx": "the sum is added"}),
    ("cross_entropy", loss("g * (p - y)"), {"dx": "1/N is missing"}),
    ("cross_entropy", loss("g * p / len(x)"), {"dx": "the one-hot labels are missing"}),
    ("cross_entropy", loss("g * (y - p) / len(x)"), {"dx": "the sign is wrong"}),
    ("cross_entropy", loss("-g * y / p / len(x)"), {"dx": "this is the slope by p"}),
    ("batch_norm_staged", steps(dq="g * (1 - mg.tanh(z) ** 2)"), {"dq": "f'(z) stands where f'(q) belongs"}),
    ("batch_norm_staged", steps(d_mu="dz_hat.sum(axis=0) * inv_std"), {"d_mu": "the minus is missing"}),
    ("batch_norm_staged", steps(d_beta="dq.mean(axis=0)"), {"d_beta": "a mean stands where the sum belongs"}),
    (
        "batch_norm_staged",
        steps(dz="dz_hat * inv_std + d_var * (z - mu) + d_mu / n"),
        {"dz": "2/N is missing in the path through the variance"},
    ),
    (
        "batch_norm_staged",
        steps(dz="dz_hat * inv_std"),
        {"dz": "through the mean is dropped: + d_mu / N; and the path"},
    ),
    ("batch_norm", norm(0, "inv_std * (h - mean(h))"), {"dx": "the path through the variance is dropped"}),
    (
        "batch_norm",
        norm(0, "inv_std * (h - mean(h) + x_hat * mean(h * x_hat))"),
        {"dx": "the sign of the projection on x_hat is wrong"},
    ),
    ("batch_norm", norm(0, NINE, inv_std="1 / mg.sqrt(mg.var(x, axis=0, ddof=1) + eps)"), DDOF),
    (
        "batch_norm",
        norm(0, "inv_std * (h - h.sum(axis=0) / (len(x) - 1) - x_hat * (h * x_hat).sum(axis=0) / (len(x) - 1))"),
        {"dx": "N - 1 stands where N belongs"},
    ),
    ("batch_norm", norm(0, NINE.replace("inv_std", "1 / inv_std")), {"dx": f"is missing: {POWER}"}),
    ("batch_norm", norm(0, NINE.replace("inv_std", "inv_std ** 3")), {"dx": f"once too often: {POWER}"}),
    (
        "batch_norm",
        norm(0, NINE).replace("g * x_hat, g", "g, g * x_hat"),
        {"d_gamma": "the derivative by beta", "d_beta": "the derivative by gamma"},
    ),
    (
        "batch_norm",
        norm(0, "inv_std * (h - h.sum(axis=0) - x_hat * (h * x_hat).sum(axis=0))"),
        {"dx": "1/N is missing: sums stand where means belong"},
    ),
    (
        "layer_norm",
        norm(1, "gamma * inv_std * (g - g.sum(axis=0) / len(x) - x_hat * (g * x_hat).sum(axis=0) / len(x))"),
        {"dx": "batch norm's formula (9') is not layer norm's"},
    ),
    (
        "layer_norm",
        norm(1, "gamma * inv_std * (g - mean(g) - x_hat * mean(g * x_hat))"),
        {"dx": "gamma was multiplied after the means"},
    ),
    (
        "layer_norm",
        norm(1, NINE, inv_std="1 / (mg.std(x, axis=1, keepdims=True) + eps)"),
        {"dx": "eps was added to the root", "d_gamma": "eps was added to the root"},
    ),
    ("rms_norm", rms("inv_rms * (h - mean(h) - x_hat * mean(h * x_hat))"), {"dx": "as in layer norm"}),
    ("rms_norm", rms(RMS, d_gamma="g * x"), {"d_gamma": "x stands where x_hat belongs"}),
]
