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
}  # fmt: skip

WRONG = {
    "sqrt": [
        (rule("g / out"), "1/2 is missing"),
        (rule("g / (2 * x)"), "x stands where its root belongs"),
        (rule("g * 2 * out"), "upside down"),
        (rule("g * 2 * x"), "rule of x**2"),
        (rule("1 / (2 * out)"), "does not depend on g"),
        (rule("-g / (2 * out)"), "sign is wrong"),
        (rule("g * 0.3 / out"), "constant factor 0.6"),
        (rule("g * 0"), "zero everywhere"),
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
}
