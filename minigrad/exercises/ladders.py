"""Three hints for each step of each exercise: a question, the idea, the line. A test runs the lines."""

from __future__ import annotations

from collections.abc import Mapping

Ladder = Mapping[str, tuple[str, str, str]]

_D_BETA = (
    "beta is added to every row of y. How much does y change, in each row, when beta grows by 1?",
    "What was broadcast is summed: each row sends its g back to the one beta.",
    "d_beta = mg.sum(g, axis=0)",
)
_D_GAMMA = (
    "y = gamma * x_hat + beta. What is gamma multiplied with?",
    "The slope of y by gamma is x_hat; gamma stands in every row, so what the rows send is summed.",
    "d_gamma = mg.sum(g * x_hat, axis=0)",
)

LADDERS: Mapping[str, Ladder] = {
    "sqrt": {
        "dx": (
            "By how much does sqrt(x) grow when x = 4 grows by a little? And when x = 100 does?",
            "out * out = x, so 2 * out times a little of out is a little of x: the slope of out by x is 1 / (2 out).",
            "dx = g / (2 * out)",
        ),
    },
    "mean": {
        "dx": (
            "The mean of 5 numbers: by how much does it grow when one of them grows by 1?",
            "Each of the N elements of a column moves its mean by 1/N, so each receives 1/N of g; all rows alike.",
            "dx = mg.broadcast_to(g / x.shape[0], x.shape)",
        ),
    },
    "broadcasting": {
        "dx": (
            "Look at one element: out = x * w. What is its slope by x?",
            "The slope of x * w by x is w; what arrives is multiplied with it. w stretches to the rows as in forward.",
            "dx = g * w",
        ),
        "dw": (
            "How many elements of out does one element of w go into?",
            "What was broadcast is summed: every row sends g * x back to the one w of its column.",
            "dw = mg.sum(g * x, axis=0)",
        ),
    },
    "var": {
        "dx": (
            "x moves the variance directly, and by moving the mean. What is the sum of x - mu over a column?",
            "By way of mu comes -2/N times the sum of x - mu, which is 0. What is left: the slope of a square, over N.",
            "dx = g * (2 / x.shape[0]) * (x - mg.mean(x, axis=0))",
        ),
    },
    "matmul": {
        "dx": (
            "out_nm = sum over k of x_nk w_km. Which elements of out does one x_nk go into, each time with what slope?",
            "dx_nk is the sum over m of g_nm w_km: the index m stands last in both, so w has to be turned over.",
            "dx = g @ w.T",
        ),
        "dw": (
            "Which elements of out does one w_km go into? In how many rows?",
            "dw_km is the sum over the rows n of x_nk g_nm: n stands first in both, so x has to be turned over.",
            "dw = x.T @ g",
        ),
    },
    "softmax": {
        "dx": (
            "The out of a row sum to 1. If one x grows, what happens to the other out of its row?",
            "d out_i / d x_j = out_i (delta_ij - out_j): x_j acts on its own out, and on the whole row by the sum that "
            "divides. Multiply with g_i and add over i.",
            "dx = out * (g - mg.sum(g * out, axis=-1, keepdims=True))",
        ),
    },
    "cross_entropy": {
        "dx": (
            "-log(p[label]) = logsumexp(x) - x[label]. What is the slope of each of the two parts by each x?",
            "The slope of logsumexp is softmax; the slope of x[label] is 1 at the label, else 0. Then the mean.",
            "dx = g / x.shape[0] * (mg.softmax(x, axis=1) - np.eye(x.shape[1])[labels])",
        ),
    },
    "batch_norm_staged": {
        "dq": (
            "a = tanh(q). What is the slope of tanh, and where is it taken?",
            "The slope of tanh at q is 1 - tanh(q)**2; what arrives at a is multiplied with it.",
            "dq = g * (1 - mg.tanh(q) ** 2)",
        ),
        "d_beta": (
            "q = gamma * z_hat + beta, with one beta for all rows. How many elements of q does it go into?",
            "What was broadcast is summed: over the rows.",
            "d_beta = mg.sum(dq, axis=0)",
        ),
        "d_gamma": (
            "What is gamma multiplied with in q?",
            "The slope of q by gamma is z_hat; over the rows it is summed, as for beta.",
            "d_gamma = mg.sum(dq * z_hat, axis=0)",
        ),
        "dz_hat": (
            "What is z_hat multiplied with in q?",
            "The slope of q by z_hat is gamma.",
            "dz_hat = dq * gamma",
        ),
        "d_var": (
            "z_hat = (z - mu) * (var + eps)**(-1/2). What is the slope of u**(-1/2)?",
            "The slope is -1/2 (z - mu) (var + eps)**(-3/2), and the last is inv_std**3; var is one for all rows: sum.",
            "d_var = -0.5 * mg.sum(dz_hat * centred, axis=0) * inv_std**3",
        ),
        "d_mu": (
            "If mu grows by a little, what happens to every z_hat of the column?",
            "The slope of z_hat by mu is -inv_std in each row: sum. (By way of var: -2/N times the sum of z - mu: 0.)",
            "d_mu = -mg.sum(dz_hat, axis=0) * inv_std",
        ),
        "dz": (
            "On which three ways does z reach z_hat?",
            "Directly with slope inv_std, by var with slope 2/N (z - mu), by mu with slope 1/N: the three add.",
            "dz = dz_hat * inv_std + d_var * (2 / n) * centred + d_mu / n",
        ),
    },
    "batch_norm": {
        "d_beta": _D_BETA,
        "d_gamma": _D_GAMMA,
        "dx": (
            "If all g of a column are equal, the same number is added to a whole column of x_hat. Can x do that?",
            "x_hat has mean 0 and its length is fixed, so dx is h = gamma * g without its mean and its part along "
            "x_hat, times inv_std. The two means are d_beta and d_gamma over N, times gamma.",
            "dx = gamma * inv_std * (g - d_beta / x.shape[0] - x_hat * (d_gamma / x.shape[0]))",
        ),
    },
    "layer_norm": {
        "d_beta": _D_BETA,
        "d_gamma": _D_GAMMA,
        "dx": (
            "Mean and variance are of one row. Is gamma the same for all that are averaged, as in batch norm?",
            "h = gamma * g, without its mean over the row and without its part along x_hat, times inv_std; gamma "
            "is not the same along the row, so it is multiplied before the means are taken.",
            "dx = inv_std * (gamma * g - mg.mean(gamma * g, axis=1, keepdims=True)"
            " - x_hat * mg.mean(gamma * g * x_hat, axis=1, keepdims=True))",
        ),
    },
    "rms_norm": {
        "d_gamma": _D_GAMMA,
        "dx": (
            "What of layer norm's rule is there because the mean was subtracted? It was not subtracted here.",
            "h = gamma * g without its part along x_hat, times inv_rms: one mean, over the row, of h * x_hat.",
            "dx = inv_rms * (gamma * g - x_hat * mg.mean(gamma * g * x_hat, axis=1, keepdims=True))",
        ),
    },
}
