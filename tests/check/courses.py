"""Backward passes in the style of course assignments, each with one planted mistake: data for test_backward.

Text and not functions, so that the mistake is one replacement: (name, code, what, by what, shapes, options, words).
"""

from __future__ import annotations

BN_FORWARD = """
def forward(x, gamma, beta):
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    x_hat = (x - mu) / np.sqrt(var + 1e-5)
    out = gamma * x_hat + beta
    cache = (x, x_hat, mu, var, gamma, 1e-5)
    return out, cache
"""
LN_FORWARD = """
def forward(x, gamma, beta, eps=1e-5):
    mu = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    std = np.sqrt(var + eps)
    xhat = (x - mu) / std
    return gamma * xhat + beta, {"xhat": xhat, "std": std, "gamma": gamma, "shape": x.shape}
"""
CS = [(7, 3), (3,), (3,)]
LN = [(4, 5), (5,), (5,)]
MODE = {"bn_param": {"mode": "train"}}

COURSES = [
    (
        "staged",
        BN_FORWARD
        + """
def backward(dout, cache):
    x, x_hat, mu, var, gamma, eps = cache
    N = x.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x_hat).sum(axis=0)
    dxhat = dout * gamma
    ivar = 1. / np.sqrt(var + eps)
    dvar = (dxhat * (x - mu)).sum(axis=0) * -0.5 * ivar**3
    dmu = -(dxhat * ivar).sum(axis=0) + dvar * (-2. * (x - mu)).mean(axis=0)
    dx = dxhat * ivar + dvar * 2. * (x - mu) / N + dmu / N
    return dx, dgamma, dbeta
""",
        "dxhat = dout * gamma",
        "dxhat = dout",
        CS,
        {},
        "gamma is missing",
    ),
    (
        "one formula",
        BN_FORWARD
        + """
def backward(dout, cache):
    x, x_hat, mu, var, gamma, eps = cache
    m = dout.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * x_hat, axis=0)
    dx = (gamma / np.sqrt(var + eps) / m) * (m * dout - dbeta - x_hat * dgamma)
    return dx, dgamma, dbeta
""",
        "- x_hat * dgamma",
        "+ x_hat * dgamma",
        CS,
        {},
        "sign of the projection",
    ),
    (
        "computation graph, step by step",
        """
def forward(x, gamma, beta, bn_param):
    eps, momentum, mode = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9), bn_param["mode"]
    running_mean = bn_param.get("running_mean", np.zeros(x.shape[1]))
    mu = 1. / len(x) * np.sum(x, axis=0)
    xmu = x - mu
    sq = xmu ** 2
    var = 1. / len(x) * np.sum(sq, axis=0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1. / sqrtvar
    xhat = xmu * ivar
    gammax = gamma * xhat
    bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mu
    return gammax + beta, (xhat, gamma, xmu, ivar, sqrtvar, var, eps)
def backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgammax = dout
    dgamma = np.sum(dgammax * xhat, axis=0)
    dxhat = dgammax * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1. / (sqrtvar ** 2) * divar
    dvar = 0.5 * 1. / np.sqrt(var + eps) * dsqrtvar
    dsq = 1. / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dxmu1 + dxmu2, axis=0)
    dx2 = 1. / N * np.ones((N, D)) * dmu
    return dx1 + dx2, dgamma, dbeta
""",
        "dsq = 1. / N * np.ones((N, D)) * dvar",
        "dsq = np.ones((N, D)) * dvar",
        CS,
        MODE,
        "1/N is missing",
    ),
    (
        "in place",
        BN_FORWARD
        + """
def backward(dout, cache):
    x, x_hat, mu, var, gamma, eps = cache
    dbeta = dout.sum(0)
    dgamma = np.einsum("nd,nd->d", dout, x_hat)
    dout *= gamma
    dout /= np.sqrt(var + eps)
    dx = dout
    mean = dx.mean(0)
    dx -= x_hat * (dx * x_hat).mean(0)
    dx -= mean
    return [dx, dgamma, dbeta]
""",
        "    dx -= mean\n",
        "",
        CS,
        {},
        "path through the mean is left out",
    ),
    (
        "dict cache",
        """
def forward(x, gamma, beta):
    cache = {"eps": 1e-8, "N": x.shape[0], "shape": x.shape, "name": "bn"}
    cache["mean"] = x.mean(0, keepdims=True)
    cache["std"] = np.sqrt(x.var(0, keepdims=True) + cache["eps"])
    cache["z"] = (x - cache["mean"]) / cache["std"]
    cache["gamma"] = gamma
    return cache["z"] * gamma + beta, cache
def backward(dout, cache):
    z, N = cache.pop("z"), cache.pop("N")
    g = dout * cache["gamma"]
    dx = (g - g.sum(0) / N - z * (g * z).sum(0) / N) / cache["std"]
    return {"dx": dx, "dgamma": (dout * z).sum(0), "dbeta": dout.sum(0)}
""",
        "(dout * z).sum(0)",
        "(dout * z).mean(0)",
        CS,
        {},
        "a mean stands where a sum",
    ),
    (
        "reshaped in Fortran order",
        """
def forward(x, gamma, beta):
    N, C, H = x.shape
    flat = x.transpose(0, 2, 1).reshape(-1, C, order="F")
    mu, var = flat.mean(0), flat.var(0)
    xhat = (flat - mu) / np.sqrt(var + 1e-5)
    out = (xhat * gamma + beta).reshape(N, H, C, order="F").transpose(0, 2, 1)
    return out, (xhat, var, gamma, (N, C, H))
def backward(dout, cache):
    xhat, var, gamma, (N, C, H) = cache
    d = dout.transpose(0, 2, 1).reshape(-1, C, order="F")
    dgamma, dbeta = (d * xhat).sum(0), d.sum(0)
    dx = gamma / np.sqrt(var + 1e-5) * (d - dbeta / len(d) - xhat * dgamma / len(d))
    return dx.reshape(N, H, C, order="F").transpose(0, 2, 1), dgamma, dbeta
""",
        "- dbeta / len(d) - xhat * dgamma / len(d)",
        "",
        [(2, 3, 4), (3,), (3,)],
        {},
        "taken as constants",
    ),
    (
        "sums over a tuple of axes",
        """
def forward(x, gamma, beta):
    axes = (0, 2, 3)
    mu = np.mean(x, axis=axes, keepdims=True)
    v = np.mean((x - mu) ** 2, axis=axes, keepdims=True)
    inv = (v + 1e-5) ** -0.5
    xh = (x - mu) * inv
    return xh * gamma[None, :, None, None] + beta[None, :, None, None], (xh, inv, gamma, axes)
def backward(dout, cache):
    xh, inv, gamma, axes = cache
    m = dout.size // dout.shape[1]
    dgamma = np.sum(dout * xh, axis=axes)
    dbeta = np.sum(dout, axis=axes)
    dxh = dout * gamma[None, :, None, None]
    dx = inv / m * (m * dxh - dxh.sum(axes, keepdims=True) - xh * (dxh * xh).sum(axes, keepdims=True))
    return dx, dgamma, dbeta
""",
        "inv / m * (m * dxh",
        "1 / m * (m * dxh",
        [(2, 3, 2, 2), (3,), (3,)],
        {},
        "1/std of x",
    ),
    (
        "layer norm, means",
        LN_FORWARD
        + """
def backward(dout, cache):
    xhat, std, gamma = cache["xhat"], cache["std"], cache["gamma"]
    dxhat = dout * gamma
    dx = (dxhat - dxhat.mean(1, keepdims=True) - xhat * (dxhat * xhat).mean(1, keepdims=True)) / std
    return dx, np.sum(dout * xhat, 0), np.sum(dout, 0)
""",
        "- xhat * (dxhat * xhat).mean(1, keepdims=True)",
        "",
        LN,
        {},
        "variance is taken as a constant",
    ),
    (
        "layer norm by transposing",
        LN_FORWARD
        + """
def backward(dout, cache):
    N, D = cache["shape"]
    z, s = cache["xhat"].T, cache["std"].T
    d = (dout * cache["gamma"]).T
    dx = (1.0 / D) / s * (D * d - np.sum(d, axis=0) - z * np.sum(d * z, axis=0))
    return dx.T, (dout * cache["xhat"]).sum(axis=0), dout.sum(axis=0)
""",
        'd = (dout * cache["gamma"]).T',
        "d = dout.T",
        LN,
        {},
        "gamma is missing",
    ),
    (
        "layer norm, staged, with loops",
        LN_FORWARD
        + """
def backward(dout, cache):
    dx = np.zeros(cache["shape"])
    dgamma = np.zeros_like(cache["gamma"]); dbeta = np.zeros_like(cache["gamma"])
    for i in range(len(dout)):
        z, s, d = cache["xhat"][i], cache["std"][i, 0], dout[i] * cache["gamma"]
        dx[i] = (d - d.sum() / d.size - z * (z @ d) / d.size) / s
        dgamma += dout[i] * z
        dbeta += dout[i]
    return dx, dgamma, dbeta
""",
        "dbeta += dout[i]",
        "dbeta = dout[i]",
        LN,
        {},
        "broadcast is not summed",
    ),
    (
        "jacobian of each column",
        BN_FORWARD
        + """
def backward(dout, cache):
    x, z, mu, var, gamma, eps = cache
    n = len(x)
    dx = np.empty_like(dout)
    for j in range(x.shape[1]):
        J = (np.eye(n) - 1 / n - np.outer(z[:, j], z[:, j]) / n) / np.sqrt(var[j] + eps)
        dx[:, j] = gamma[j] * J.T @ dout[:, j]
    return dx, (z * dout).sum(0), dout.sum(0)
""",
        "np.outer(z[:, j], z[:, j]) / n)",
        "np.outer(z[:, j], z[:, j]) / (n - 1))",
        CS,
        {},
        "N - 1",
    ),
    (
        "layer norm as batch norm of the transpose",
        """
def forward(x, gamma, beta, ln_param):
    x = x.T
    mu, var = np.mean(x, axis=0), np.var(x, axis=0)
    std = np.sqrt(var + ln_param.get("eps", 1e-5))
    xn = (x - mu) / std
    return xn.T * gamma + beta, (gamma, xn, std)
def backward(dout, cache):
    gamma, xn, std = cache
    d = dout.T * gamma[:, np.newaxis]
    m = d.shape[0]
    dx = (d - np.mean(d, axis=0) - xn * np.sum(d * xn, axis=0) / m) / std
    return dx.T, np.sum(dout * xn.T, axis=0), np.sum(dout, axis=0)
""",
        "np.sum(dout, axis=0)",
        "np.sum(dout) * np.ones_like(gamma)",
        LN,
        {"ln_param": {}},
        "wrong axis",
    ),
    (
        "parameters named with underscores",
        """
def forward(x, W_scale, b_shift):
    n = x.shape[0]
    mean = x.sum(0) / n
    centered = x - mean
    sigma2 = (centered ** 2).sum(0) / n
    inv = 1 / np.sqrt(sigma2 + 1e-6)
    return W_scale * centered * inv + b_shift, [centered, inv, W_scale, n]
def backward(dout, cache):
    centered, inv, W, n = cache
    dW = (dout * centered * inv).sum(0)
    db = dout.sum(0)
    dn = dout * W
    dsigma2 = (dn * centered).sum(0) * (-0.5) * inv ** 3
    dcentered = dn * inv + dsigma2 * 2 * centered / n
    dx = dcentered - dcentered.sum(0) / n
    return dx, dW, db
""",
        "dW = (dout * centered * inv).sum(0)",
        "dW = (dout * centered).sum(0)",
        CS,
        {},
        "gamma_hat|1/std|x - mean",
    ),
    (
        "spatial, by way of the flat one",
        """
def flat_forward(x, gamma, beta, bn_param):
    mu, var = x.mean(0), x.var(0)
    xh = (x - mu) / np.sqrt(var + 1e-5)
    return gamma * xh + beta, (xh, var, gamma)
def forward(x, gamma, beta, bn_param):
    N, C, H, W = x.shape
    out, cache = flat_forward(x.transpose(0, 2, 3, 1).reshape(-1, C), gamma, beta, bn_param)
    return out.reshape(N, H, W, C).transpose(0, 3, 1, 2), cache
def backward(dout, cache):
    N, C, H, W = dout.shape
    d = dout.transpose(0, 2, 3, 1).reshape(-1, C)
    xh, var, gamma = cache
    db, dg = d.sum(0), (d * xh).sum(0)
    dx = gamma * (var + 1e-5) ** -0.5 / len(d) * (len(d) * d - db - xh * dg)
    return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dg, db
""",
        "return dx.reshape",
        "return -dx.reshape",
        [(2, 2, 2, 3), (2,), (2,)],
        MODE,
        "sign is wrong",
    ),
]
