"""The same with classes: objects that keep W and dW, and classes in the form of torch.autograd.Function."""

from __future__ import annotations

CS = [(7, 3), (3,), (3,)]

# fmt: off
OTHERS = [  # functions, as those in courses.py
    (
        "group norm",
        """
def forward(x, gamma, beta, G=2):
    N, C, H = x.shape
    xg = x.reshape(N, G, C // G * H)
    mu, var = xg.mean(axis=2, keepdims=True), xg.var(axis=2, keepdims=True)
    xh = ((xg - mu) / np.sqrt(var + 1e-5)).reshape(x.shape)
    return gamma * xh + beta, (G, xh, var, gamma)
def backward(dout, cache):
    G, xh, var, gamma = cache
    N, C, H = dout.shape
    d = (dout * gamma).reshape(N, G, -1)
    z = xh.reshape(N, G, -1)
    dx = (d - d.mean(2, keepdims=True) - z * (d * z).mean(2, keepdims=True)) / np.sqrt(var + 1e-5)
    return dx.reshape(dout.shape), (dout * xh).sum((0, 2), keepdims=True), dout.sum((0, 2), keepdims=True)
""",
        "dx.reshape(dout.shape), (dout * xh)",
        "dx.reshape(dout.shape), -(dout * xh)",
        [(2, 4, 3), (1, 4, 1), (1, 4, 1)],
        {"G": 2},
        "sign is wrong",
    ),
    (
        "test mode",
        """
def forward(x, gamma, beta, bn_param):
    mean, var = bn_param["running_mean"], bn_param["running_var"]
    if bn_param["mode"] == "train":
        raise NotImplementedError
    x_hat = (x - mean) / np.sqrt(var + 1e-5)
    return gamma * x_hat + beta, (x_hat, gamma, np.sqrt(var + 1e-5))
def backward(dout, cache):
    x_hat, gamma, std = cache
    return dout * gamma / std, (dout * x_hat).sum(0), dout.sum(0)
""",
        "dout * gamma / std",
        "dout * gamma",
        CS,
        {"bn_param": {"mode": "test", "running_mean": [0.1, 0.2, 0.3], "running_var": [1.5, 2.0, 0.5]}},
        "factor that differs",
    ),
    (
        "no affine part",
        """
def forward(x):
    m, v = x.mean(axis=0), x.var(axis=0)
    return (x - m) / np.sqrt(v + 1e-3), (x, m, v)
def backward(dout, cache):
    x, m, v = cache
    s = np.sqrt(v + 1e-3)
    h = (x - m) / s
    return (dout - dout.mean(axis=0) - h * np.mean(dout * h, axis=0)) / s
""",
        "s = np.sqrt(v + 1e-3)",
        "s = np.sqrt(v)",
        [(6, 3)],
        {},
        "eps",
    ),
    (
        "root mean square",
        """
def forward(x, gamma):
    r = 1 / np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-6)
    return x * r * gamma, (x, r, gamma)
def backward(dout, cache):
    x, r, gamma = cache
    d = dout * gamma
    dx = r * d - x * r ** 3 * (d * x).mean(-1, keepdims=True)
    return dx, (dout * x * r).sum(0)
""",
        "- x * r ** 3 * (d * x).mean(-1, keepdims=True)",
        "",
        [(4, 5), (5,)],
        {},
        "left out",
    ),
]
CLASSES = [
    (
        "an object with W and dW",
        """
class Norm:
    def __init__(self):
        self.gamma, self.beta, self.eps = np.array([0.5, 1.5, -1.0]), np.array([0.1, 0.2, 0.3]), 1e-5
        self.dgamma = self.dbeta = None
    def forward(self, x):
        self.mu, self.var = x.mean(0), x.var(0)
        self.z = (x - self.mu) / np.sqrt(self.var + self.eps)
        return self.gamma * self.z + self.beta
    def backward(self, dout):
        self.dgamma, self.dbeta = (dout * self.z).sum(0), dout.sum(0)
        d = dout * self.gamma
        return (d - d.mean(0) - self.z * (d * self.z).mean(0)) / np.sqrt(self.var + self.eps)
""",
        "self.dgamma, self.dbeta = (dout * self.z).sum(0)",
        "self.dgamma, self.dbeta = (dout * self.z).mean(0)",
        [(6, 3)],
        "a mean stands where a sum",
    ),
    (
        "an object with grads beside them",
        """
class Norm:
    def __init__(self, n=4):
        self.weight, self.bias = np.linspace(0.5, 2, n), np.zeros(n)
    def __call__(self, x):
        return self.forward(x)
    def forward(self, x):
        self.cache = {"s": x.std(-1, keepdims=True), "c": x - x.mean(-1, keepdims=True)}
        return self.weight * self.cache["c"] / self.cache["s"] + self.bias
    def backward(self, dy):
        s, z = self.cache["s"], self.cache["c"] / self.cache["s"]
        self.weight_grad, self.bias_grad = (dy * z).sum(0), dy.sum(0)
        d = dy * self.weight
        return (d - d.mean(-1, keepdims=True) - z * (d * z).mean(-1, keepdims=True)) / s
""",
        "d = dy * self.weight",
        "d = dy",
        [(3, 4)],
        "weight is missing",
    ),
    (
        "a torch.autograd.Function",
        """
class Norm:
    @staticmethod
    def forward(ctx, x, weight, bias):
        mean, std = x.mean(0), np.sqrt(x.var(0) + 1e-5)
        ctx.save_for_backward((x - mean) / std, std, weight)
        ctx.n = len(x)
        return (x - mean) / std * weight + bias
    @staticmethod
    def backward(ctx, grad_output):
        z, std, weight = ctx.saved_tensors
        g = grad_output * weight
        dx = (g - g.sum(0) / ctx.n - z * (g * z).sum(0) / ctx.n) / std
        return dx, (grad_output * z).sum(0), grad_output.sum(0)
""",
        "(g * z).sum(0) / ctx.n",
        "(g * z).sum(0)",
        CS,
        "1/N is missing",
    ),
    (
        "a Function of a sigmoid",
        """
class Norm:
    @staticmethod
    def forward(ctx, x):
        ctx.y = 1 / (1 + np.exp(-x))
        return ctx.y
    @staticmethod
    def backward(ctx, g):
        return g * ctx.y * (1 - ctx.y)
""",
        "* (1 - ctx.y)",
        "",
        [(3, 2)],
        "1 - out is missing",
    ),
    (
        "an activation without parameters",
        """
class Norm:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out
    def backward(self, grad):
        return grad * (1 - self.out ** 2)
""",
        "self.out ** 2",
        "self.out",
        [(5,)],
        "1 - out stands where 1 - out**2 belongs",
    ),
    (
        "a layer that returns its cache",
        """
class Norm:
    def forward(self, x, gamma, beta):
        mu, inv = x.mean(0), 1 / np.sqrt(x.var(0) + 1e-5)
        return (x - mu) * inv * gamma + beta, ((x - mu) * inv, inv, gamma)
    def backward(self, dout, cache):
        z, inv, gamma = cache
        dg, db = (dout * z).sum(0), dout.sum(0)
        return gamma * inv * (dout - db / len(z) - z * dg / len(z)), dg, db
""",
        "dg, db = (dout * z).sum(0), dout.sum(0)",
        "db, dg = (dout * z).sum(0), dout.sum(0)",
        CS,
        "derivative by",
    ),
    (
        "affine, batch norm and relu in one",
        """
class Norm:
    def __init__(self):
        rng = np.random.default_rng(3)
        self.W, self.b = rng.normal(size=(3, 4)), rng.normal(size=4)
    def forward(self, x):
        self.x = x
        a = x @ self.W + self.b
        self.s = np.sqrt(a.var(0) + 1e-5)
        self.z = (a - a.mean(0)) / self.s
        return np.maximum(self.z, 0)
    def backward(self, dout):
        d = dout * (self.z > 0)
        d = (d - d.mean(0) - self.z * (d * self.z).mean(0)) / self.s
        self.dW, self.db = self.x.T @ d, d.sum(0)
        return d @ self.W.T
""",
        "d @ self.W.T",
        "dout @ self.W.T",
        [(5, 3)],
        "",
    ),
    (
        "dropout before the norm",
        """
class Norm:
    def forward(self, x):
        self.mask = (np.random.rand(*x.shape) < 0.7) / 0.7
        h = x * self.mask
        self.s = np.sqrt(h.var(0) + 0.01)
        self.z = (h - h.mean(0)) / self.s
        return self.z
    def backward(self, dout):
        d = (dout - dout.mean(0) - self.z * (dout * self.z).mean(0)) / self.s
        return d * self.mask
""",
        "return d * self.mask",
        "return d",
        [(6, 3)],
        "",
    ),
    (
        "running statistics moved in forward",
        """
class Norm:
    def __init__(self):
        self.running_mean, self.count = np.zeros(3), 0
    def forward(self, x):
        self.count += 1
        self.running_mean *= 0.9
        self.running_mean += 0.1 * x.mean(0)
        self.centred = x - x.mean(0)
        self.inv = (self.centred ** 2).mean(0) ** -0.5
        return self.centred * self.inv
    def backward(self, dout):
        z = self.centred * self.inv
        return self.inv * (dout - dout.mean(0) - z * (z * dout).mean(0))
""",
        "- dout.mean(0)",
        "+ dout.mean(0)",
        [(5, 3)],
        "sign of the mean",
    ),
]
