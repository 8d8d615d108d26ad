"""Mistakes in the rule of a normalization, told by what its Jacobian is made of.

Of y = (x - mean) / std, group by group (a column of batch norm, a row of layer norm):

    dy_j/dx_i = s (delta_ij - 1/m - c_i c_j / (m v)),     c = x - mean, v = var + eps, s = 1/sqrt(v)

So a Jacobian that is a combination of delta, of ones and of c c' is that of a normalization, and the three
coefficients tell which part of the rule is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .evidence import CLOSE, Evidence
from .numerical import FloatArray

PARTS = ("delta", "ones", "cc", "c1", "1c")


def normalized(e: Evidence) -> str | None:
    """What is wrong with the rule of a normalization; None where it is none, or another mistake."""
    if e.x.shape != e.y.shape or not e.across:
        return None
    groups = list(_groups(e))
    for name, p in [("", np.ones(e.y.shape)), *_gains(e)]:
        truth = _coefficients(e.numeric, groups, e.x, p, CLOSE * e.size + e.noise, on_x=False)
        if truth is None or np.max(np.abs(truth[:, 2])) * e.x.var() < CLOSE * np.max(np.abs(truth[:, 0])):
            continue  # nothing of c c': only a mean is taken away
        late = f"{name} is multiplied after the means: it belongs into {name} * g before they are taken"
        for gain, on_x, words in ((p, False, ""), (p, True, late), (np.ones(e.y.shape), False, f"{name} is missing")):
            theirs = _coefficients(e.analytic, groups, e.x, gain, e.near + CLOSE * e.size, on_x)
            if theirs is None or (words and not name):
                continue
            said = _said(e, groups, truth, theirs)
            if words:
                return words + (f", and {said}" if said else "")
            if said:
                return said
    return None


def _gains(e: Evidence) -> Iterator[tuple[str, FloatArray]]:
    for name, q in e.values.items():
        fits = q.ndim <= e.y.ndim and all(a in (1, b) for a, b in zip(q.shape[::-1], e.y.shape[::-1], strict=False))
        if name != e.argument and fits and np.all(q != 0):
            yield name, np.broadcast_to(q, e.y.shape)


def _groups(e: Evidence) -> Iterator[Any]:
    """Flat positions of the elements that are normalized together."""
    over = [pair[0] for pair in e.across]
    kept = [axis for axis in range(e.x.ndim) if axis not in over]
    numbers = np.arange(e.x.size).reshape(e.x.shape).transpose(*kept, *over)
    yield from numbers.reshape(-1, int(np.prod([e.x.shape[axis] for axis in over])))


def _coefficients(
    jacobian: FloatArray, groups: list[Any], x: FloatArray, gain: FloatArray, near: float, on_x: bool
) -> FloatArray | None:
    """For each group the coefficients of PARTS; None where a group is not made of them."""
    square, found = jacobian.reshape(x.size, x.size), []
    for members in groups:
        m = len(members)
        c = x.ravel()[members] - x.ravel()[members].mean()
        one = np.ones(m)
        parts = [np.eye(m), np.outer(one, one), np.outer(c, c), np.outer(c, one), np.outer(one, c)]
        basis = np.stack([part.ravel() for part in parts], axis=1)
        p = gain.ravel()[members]
        block = square[np.ix_(members, members)] / (p[:, None] if on_x else p[None, :])
        scale = np.linalg.norm(basis, axis=0)
        scale[scale == 0] = 1.0
        solved = np.linalg.lstsq(basis / scale, block.ravel(), rcond=1e-10)[0] / scale
        if m < 3 or np.max(np.abs(basis @ solved - block.ravel())) * np.max(np.abs(p)) > near:
            return None
        found.append(solved)
    inside = np.zeros_like(square, dtype=bool)
    for members in groups:
        inside[np.ix_(members, members)] = True
    return np.array(found) if np.max(np.abs(square[~inside]), initial=0.0) <= near else None


def _said(e: Evidence, groups: list[Any], truth: FloatArray, theirs: FloatArray) -> str | None:
    m = len(groups[0])
    values = np.array([e.x.ravel()[members] for members in groups])
    mean, var = values.mean(axis=1), values.var(axis=1)
    direct, ones, cc = (theirs[:, k] / truth[:, k] for k in range(3))
    small = CLOSE * np.abs(truth[:, 0])

    def all_(ratio: FloatArray, value: Any) -> bool:
        return bool(np.all(np.abs(ratio - value) <= 10 * CLOSE * np.maximum(1.0, np.abs(value))))

    mixed = np.abs(theirs[:, 3:]) * np.sqrt(var)[:, None] > 10 * small[:, None]
    if not mixed.any() and all_(direct, 1.0):
        said = _paths(m, ones, cc, all_, np.sqrt(var - truth[:, 0] / truth[:, 2] / m - var), small)
        if said:
            return said
    eps = float(np.median(-truth[:, 0] / (m * truth[:, 2]) - var))
    if not mixed.any() and all_(ones, direct):
        used = -theirs[:, 0] / (m * theirs[:, 2])  # the variance that this rule normalizes with
        for value, words in (
            (var, f"eps is forgotten under the root (eps = {eps:.3g})"),
            (var - eps, f"var - eps stands where var + eps belongs (eps = {eps:.3g})"),
            (
                (np.sqrt(var) + eps) ** 2,
                f"eps is outside the root: it stands under it, sqrt(var + eps) (eps = {eps:.3g})",
            ),
            (var * m / (m - 1) + eps, f"N - 1 stands where N belongs: the variance is the biased one (N = {m})"),
        ):
            if abs(eps) > 1e-12 * np.max(var) and np.max(np.abs(used - value)) <= 0.02 * np.max(
                np.abs(value - var - eps)
            ):
                return words
    c1, c_1 = theirs[:, 3], theirs[:, 4]
    if all_(direct, 1.0) and all_(cc, 1.0) and all_(c1 / (theirs[:, 2] * mean), 1.0):
        return "x stands where x - mean (x_hat) belongs, in the projection"
    if all_(direct, 1.0) and all_(cc, 0.0) and (np.abs(c1) + np.abs(c_1) > 0).all():
        return "the projection lacks a factor x_hat: x_hat * mean(h * x_hat)"
    return None


def _paths(m: int, ones: FloatArray, cc: FloatArray, all_: Any, std: FloatArray, small: FloatArray) -> str | None:
    """The direct term is right: what of the other two?"""
    del small
    if all_(ones, 0.0) and all_(cc, 0.0):
        return "the statistics are taken as constants: mean and variance depend on x (both means are left out)"
    if all_(ones, -1.0) and all_(cc, -1.0):
        return "the sign of both means is wrong: they are added, and must be subtracted"
    if (
        (all_(ones, m) or all_(ones, 1.0))
        and (all_(cc, m) or all_(cc, 1.0))
        and not (all_(ones, 1.0) and all_(cc, 1.0))
    ):
        which = "" if all_(ones, m) and all_(cc, m) else " in the mean" if all_(ones, m) else " in the projection"
        return f"1/N is missing{which}: a sum stands where a mean belongs (N = {m})"
    if all_(ones, 1 / m) or all_(cc, 1 / m):
        return f"1/N is there once too often (N = {m})"
    if all_(cc, m / (m - 1)) or all_(ones, m / (m - 1)):
        return f"N - 1 stands where N belongs (N = {m})"
    for ratio, other, left_out, sign, name in (
        (ones, cc, "the path through the mean is left out: the mean is taken as a constant", "mean", "mean"),
        (cc, ones, "the projection on x_hat is left out: the variance is taken as a constant (detached)",
         "projection on x_hat", "projection on x_hat"),
    ):  # fmt: skip
        if not all_(other, 1.0) or all_(ratio, 1.0):
            continue
        if all_(ratio, 0.0):
            return left_out
        if all_(ratio, -1.0):
            return f"the sign of the {sign} is wrong: it is subtracted"
        if np.ptp(ratio) <= CLOSE * np.max(np.abs(ratio)):
            return f"the {name} is off by a factor {ratio[0]:.6g}"
        for power in (1, 2, -1, -2):
            if all_(ratio * std**power, 1.0):
                return f"the power of inv_std is wrong in the {name}: off by std**{-power}"
    return None
