"""Files as learners would write them: right ones, and wrong ones with a word of the hint that must name the mistake."""

HEAD = 'import minigrad as mg\n\nEXERCISE = "{name}"\n\n'


def file_of(name, body):
    return HEAD.format(name=name) + body


def rule(formula):
    return f"def rule(g, out, x):\n    return {formula}\n"


def steps(**changed):
    """The staged backward pass, with some lines replaced."""
    lines = {
        "var": "mg.var(z, axis=0)",
        "inv_std": "1 / mg.sqrt(var + eps)",
        "z_hat": "(z - mu) * inv_std",
        "q": "gamma * z_hat + beta",
        "dq": "g * (1 - mg.tanh(q) ** 2)",
        "d_beta": "dq.sum(axis=0)",
        "d_gamma": "(dq * z_hat).sum(axis=0)",
        "dz_hat": "dq * gamma",
        "d_var": "(dz_hat * (z - mu)).sum(axis=0) * -0.5 * (var + eps) ** -1.5",
        "d_mu": "-(dz_hat * inv_std).sum(axis=0)",
        "dz": "dz_hat * inv_std + 2 / n * d_var * (z - mu) + d_mu / n",
        **changed,
    }
    body = "".join(f"    {name} = {value}\n" for name, value in lines.items())
    names = ("dq", "d_beta", "d_gamma", "dz_hat", "d_var", "d_mu", "dz")
    given = ", ".join(f'"{name}": {name}' for name in names)
    return (
        "def backward(g, z, gamma, beta, eps):\n    n = len(z)\n    mu = mg.mean(z, axis=0)\n"
        f"{body}    return {{{given}}}\n"
    )


def norm(axis, dx, *, inv_std="1 / mg.sqrt(mg.var(x, axis=axis, keepdims=True) + eps)", d_gamma="g * x_hat", n=None):
    return (
        f"axis = {axis}\n\n\ndef mean(a):\n    return mg.mean(a, axis=axis, keepdims=True)\n\n\n"
        f"def save(x, gamma, beta, eps):\n    inv_std = {inv_std}\n    return (x - mean(x)) * inv_std, inv_std\n\n\n"
        "def rule(g, out, saved, x, gamma, beta, eps):\n    x_hat, inv_std = saved\n    h = gamma * g\n"
        f"    return {dx}, {d_gamma}, g\n"
    )


def pair(dx, dw):
    """Of two inputs, x and w."""
    return f"def rule(g, out, x, w):\n    return {dx}, {dw}\n"


def loss(formula):
    """Cross-entropy's rule."""
    lines = "    p, y = mg.softmax(x, axis=1), np.eye(x.shape[1])[labels]\n"
    return f"import numpy as np\n\n\ndef rule(g, out, x, labels):\n{lines}    return {formula}\n"


def rms(dx, *, inv_rms="1 / mg.sqrt(mg.mean(x ** 2, axis=1, keepdims=True) + eps)", d_gamma="g * x_hat"):
    return (
        "def mean(a):\n    return mg.mean(a, axis=1, keepdims=True)\n\n\n"
        f"def save(x, gamma, eps):\n    inv_rms = {inv_rms}\n    return x * inv_rms, inv_rms\n\n\n"
        "def rule(g, out, saved, x, gamma, eps):\n    x_hat, inv_rms = saved\n    h = gamma * g\n"
        f"    return {dx}, {d_gamma}\n"
    )


RMS = "inv_rms * (h - x_hat * mean(h * x_hat))"
NINE = "inv_std * (h - mean(h) - x_hat * mean(h * x_hat))"

RIGHT = {
    "sqrt": [rule("g * 0.5 / mg.sqrt(x)"), rule("0.5 * g * x ** -0.5")],
    "var": [rule("2 * g * (x - x.mean(axis=0)) / len(x)")],
    "softmax": [rule("out * (g - (g * out).sum(axis=-1, keepdims=True))"), rule(
        "out * g - out * mg.expand_dims(mg.einsum('ij,ij->i', g, out), 1)"
    )],
    "batch_norm_staged": [steps(), steps(d_mu="-dz_hat.sum(axis=0) * inv_std + -2 / n * d_var * (z - mu).sum(axis=0)")],
    "batch_norm": [norm(0, NINE), norm(0, "gamma * inv_std * (g - mean(g) - x_hat * mean(g * x_hat))")],
    "layer_norm": [norm(1, NINE)],
    "mean": [rule("mg.broadcast_to(g, x.shape) / len(x)"), rule("g * mg.exp(0 * x) / len(x)")],
    "broadcasting": [pair("g * w", "(g * x).sum(axis=0)"), pair("w * g", "mg.einsum('nd,nd->d', g, x)")],
    "matmul": [pair("g @ w.T", "x.T @ g"), pair("mg.einsum('nm,km->nk', g, w)", "(g.T @ x).T")],
    "cross_entropy": [loss("g * (p - y) / len(x)"), loss("(p * g - y * g) * (1 / p.shape[0])")],
    "rms_norm": [rms(RMS)],
}  # fmt: skip

WRONG = {
    "sqrt": [
        (rule("g / out"), "1/2 is missing"),
        (rule("g / (2 * x)"), "x stands where its root belongs"),
        (rule("g * 2 * out"), "upside down"),
        (rule("g * 2 * x"), "rule of x**2"),
        (rule("1 / (2 * out)"), "does not multiply by g"),
        (rule("-g / (2 * out)"), "sign is wrong"),
        (rule("g * 0.3 / out"), "constant factor 0.6"),
        (rule("g * 0"), "the rule gives zero"),
        (rule("g * g / (2 * out)"), "not linear in g"),
        (rule("g + out"), "not linear in g"),
        (rule("g * mg.sin(x)"), "no mistake that is known"),
    ],
    "var": [
        (rule("2 * g * (x - x.mean(axis=0))"), "1/N is missing"),
        (rule("g * (x - x.mean(axis=0)) / len(x)"), "the 2 is missing"),
        (rule("2 * g * x / len(x)"), "mean is not subtracted"),
        (rule("2 * g * (x - x.mean(axis=1, keepdims=True)) / len(x)"), "wrong axis: the mean was taken over the col"),
        (rule("2 * g * (x - x.mean()) / len(x)"), "wrong axis: the mean was taken over everything"),
        (rule("2 * g * (x - x.mean(axis=0)) / x.shape[1]"), "wrong axis: divided by the number of columns"),
        (rule("2 * g * (x - x.mean(axis=0)) / (len(x) - 1)"), "divided by N - 1"),
        (rule("2 * g * x"), "1/N is missing: the variance is a mean over N rows; and the mean is not subtracted"),
    ],
    "softmax": [
        (rule("g * out * (1 - out)"), "only the diagonal"),
        (rule("g * out"), "the sum is missing"),
        (rule("out * (g - g.sum(axis=-1, keepdims=True))"), "must be of g * out"),
        (rule("out * (g - (g * out).sum(axis=0))"), "wrong axis"),
        (rule("out * (g - (g * out).sum())"), "wrong axis"),
        (rule("out * (g - (g * out).mean(axis=-1, keepdims=True))"), "a mean stands where the sum"),
        (rule("g - out * g.sum(axis=-1, keepdims=True)"), "rule of log_softmax"),
        (rule("g - (g * out).sum(axis=-1, keepdims=True)"), "factor out in front"),
    ],
    "batch_norm_staged": [
        (steps(dq="g * (1 - mg.tanh(z) ** 2)"), "f'(z) stands where f'(q)"),
        (steps(inv_std="1 / mg.sqrt(var - eps)"), "var - eps stands where var + eps"),
        (steps(dz_hat="dq * 1"), "gamma is missing"),
        (steps(dz="dz_hat * inv_std + 2 / n * d_var * (z - mu)"), "path through the mean is dropped"),
        (steps(dz="dz_hat * inv_std + d_mu / n"), "path through the variance is dropped"),
        (steps(dz="dz_hat * inv_std + 2 * d_var * (z - mu) + d_mu / n"), "1/N is missing in the path through the var"),
        (steps(d_var="(dz_hat * (z - mu)).sum(axis=0) * -0.5 * inv_std ** 2"), "inv_std**3"),
        (steps(d_beta="dq.mean(axis=0)"), "a mean stands where the sum"),
        (steps(d_mu="(dz_hat * inv_std).sum(axis=0)"), "minus is missing: mu is subtracted"),
        (steps(dq="g"), "slope of tanh is missing"),
        (steps(var="mg.var(z, axis=0, ddof=1)"), "divided by N - 1"),
    ],
    "batch_norm": [
        (norm(0, NINE, inv_std="1 / mg.sqrt(mg.var(x, axis=0) - eps)"), "var - eps stands"),
        (norm(0, "inv_std * (g - mean(g) - x_hat * mean(g * x_hat))"), "gamma is missing"),
        (norm(0, "inv_std * (h - x_hat * mean(h * x_hat))"), "path through the mean is dropped"),
        (norm(0, "inv_std * (h - mean(h))"), "path through the variance is dropped"),
        (norm(0, "inv_std * (h - h.sum(axis=0) - x_hat * (h * x_hat).sum(axis=0))"), "1/N is missing"),
        (norm(0, NINE, d_gamma="g * x"), "x stands where x_hat"),
        (norm(0, NINE, inv_std="1 / (mg.std(x, axis=0) + eps)"), "it stands under it"),
        (norm(1, NINE), "over the features it is layer norm"),
        (norm(0, NINE, d_gamma="g * (out - beta) / gamma"), "something divided by gamma"),
        (norm(0, "inv_std * (g - x_hat * mean(g * x_hat))"), "gamma is missing"),
    ],
    "layer_norm": [
        (norm(1, "gamma * inv_std * (g - mean(g) - x_hat * mean(g * x_hat))"), "gamma was multiplied after the means"),
        (norm(1, "inv_std * (g - mean(g) - x_hat * mean(g * x_hat))"), "gamma is missing"),
        (norm(1, "inv_std * (h - mean(h))"), "path through the variance is dropped"),
        (norm(0, NINE), "over the rows it is batch norm"),
        (norm(1, "inv_std * (h - h.mean(axis=0) - x_hat * (h * x_hat).mean(axis=0))"), "the two means of the formula"),
        (norm(1, NINE, inv_std="1 / mg.sqrt(mg.var(x, axis=1, keepdims=True))"), "eps is missing"),
        (norm(1, "h - mean(h) - x_hat * mean(h * x_hat)"), "inv_std in front is missing"),
    ],
    "mean": [
        (rule("mg.broadcast_to(g, x.shape)"), "1/N is missing, N = 5"),
        (rule("mg.broadcast_to(g / x.shape[1], x.shape)"), "number of columns"),
        (rule("mg.broadcast_to(g / x.size, x.shape)"), "number of all elements"),
        (rule("mg.broadcast_to(g / (len(x) - 1), x.shape)"), "N - 1 stands where N belongs"),
        (rule("g * x / len(x)"), "x is there once too often"),
        (rule("mg.broadcast_to(g / 5, x.shape)"), "is a size written as a number?"),
    ],
    "broadcasting": [
        (pair("g", "(g * x).sum(axis=0)"), "w is missing"),
        (pair("g * w", "g.sum(axis=0)"), "x is missing"),
        (pair("g * w", "(g * x).mean(axis=0)"), "a mean stands where a sum belongs"),
        (pair("g * w", "(g * x)[0]"), "a broadcast is not summed"),
        (pair("g * w", "g.sum(axis=0) * x.sum(axis=0)"), "not the product of the sums"),
    ],
    "matmul": [
        (pair("g @ w", "x.T @ g"), "w stands where its transpose belongs"),
        (pair("g @ w.T", "g.T @ x"), "this is the transpose"),
        (pair("g @ w.T", "x.T @ g / len(x)"), "a mean stands where a sum belongs"),
        (pair("g @ w.T", "out.T @ g"), "out stands where x belongs"),
    ],
    "cross_entropy": [
        (loss("g * (p - y)"), "1/N is missing, N = 5"),
        (loss("g * (y - p) / len(x)"), "the sign is wrong"),
        (loss("g * p / len(x)"), "one-hot labels are missing"),
        (loss("-g * y / len(x)"), "softmax is missing"),
        (loss("-g * y / p / len(x)"), "slope by p"),
        (loss("g * (p - y) / p.shape[1]"), "number of classes"),
        (loss("(p - y) / len(x)"), "a term of it lacks g"),
    ],
    "rms_norm": [
        (rms("inv_rms * (h - mean(h) - x_hat * mean(h * x_hat))"), "as in layer norm"),
        (rms("inv_rms * h"), "path through the mean of squares is dropped"),
        (rms("inv_rms * (g - x_hat * mean(g * x_hat))"), "gamma is missing"),
        (rms("gamma * inv_rms * (g - x_hat * mean(g * x_hat))"), "gamma was multiplied after the mean"),
        (rms(RMS, d_gamma="g * x"), "x stands where x_hat"),
        (rms(RMS, inv_rms="1 / mg.sqrt(mg.var(x, axis=1, keepdims=True) + eps)"), "variance stands"),
    ],
}
