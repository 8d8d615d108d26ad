"""From two Jacobians to the kind of mistake that they look like, in words: one module for all checks.

Each function below looks for one kind and says it, or None. By numbers, never by text: the same wrong numbers get the
same words however they came about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .evidence import CLOSE, Evidence, evidence_of
from .normalized import normalized
from .numerical import FloatArray


def reason_of(case: Any, k: int) -> str | None:
    """What is wrong with argument k of a case whose Jacobians are known; None where no pattern fits."""
    return diagnose(evidence_of(case, k))


def diagnose(e: Evidence) -> str | None:
    """The likeliest mistake, in words; None where no pattern fits.

    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> diagnose(Evidence("x", np.diag(2 * x), np.diag(3 * x * x), x, x**3, {"x": x}))
    'x is missing (and a factor of 1.5)'
    """
    with np.errstate(all="ignore"):
        return next((said for kind in KINDS if (said := kind(e))), None)


def _not_finite(e: Evidence) -> str | None:
    if np.isfinite(e.analytic).all():
        return None
    return "the rule gives NaN or infinity where the true derivative is finite"


def _zero(e: Evidence) -> str | None:
    if not np.any(np.abs(e.analytic) > CLOSE * e.size):
        return "the rule gives zero: it lost this argument"
    return "the true gradient is zero, and the rule gives something else" if not e.size > e.noise else None


def _without_g(e: Evidence) -> str | None:
    a, n = (m.reshape(e.x.size, e.y.size) for m in (e.analytic, e.numeric))
    if e.y.size > 1 and not e.linear and _constant(a, 1) and not _constant(n, 1):
        return "the rule does not multiply by g"
    return None if e.linear else "the rule is not linear in g: a term of it lacks g, or has it twice"


def _constant(m: FloatArray, axis: int) -> bool:
    return bool(np.max(np.abs(m - np.take(m, [0], axis)), initial=0.0) <= CLOSE * np.max(np.abs(m), initial=0.0))


def _factor(e: Evidence) -> str | None:
    ratio = float(np.sum(e.analytic * e.numeric) / np.sum(e.numeric**2))
    if not np.isfinite(ratio) or not e.fits(ratio * e.numeric):
        return None
    if abs(ratio + 1) < CLOSE:
        return "the sign is wrong"
    digits = f"{ratio:.6g}" if abs(abs(ratio) - 1) > CLOSE else f"{ratio:.8g}"
    why = [] if ratio > 0 else ["the sign is wrong"]
    why += next(filter(None, ([said] for said in _factors(e, abs(ratio)))), [])
    return f"off by a constant factor {digits}" + (f": {', and '.join(why)}" if why else "")


def _factors(e: Evidence, r: float) -> Iterator[str]:
    def is_(value: float) -> bool:
        return abs(r - value) < CLOSE * value

    for n in sorted(e.counts):
        two = "a 2 too many, or " if is_(2) else "a 2 is missing, or " if is_(0.5) else ""
        if is_(n):
            yield f"{two}1/N is missing, N = {n}: a sum stands where a mean belongs"
        if is_(1 / n):
            yield f"{two}1/N once too often, N = {n}: a mean stands where a sum belongs"
        if is_(n / (n - 1)) or is_((n - 1) / n):
            yield f"N - 1 stands where N belongs, or N for N - 1; N = {n}"
        if is_(np.sqrt(n / (n - 1))) or is_(np.sqrt((n - 1) / n)):
            yield f"the variance was divided by N - 1 for N, or N for N - 1; N = {n}"
    for name, q in e.values.items():
        value = abs(float(q.flat[0])) if q.size and np.ptp(q) == 0 else 0.0
        for power, words in ((1, name), (2, f"{name}**2"), (0.5, f"sqrt({name})")):
            if value and abs(value - 1) > 10 * CLOSE and is_(value**-power):
                yield f"{words} is missing"
            if value and abs(value - 1) > 10 * CLOSE and is_(value**power):
                yield f"1/{words} is missing, or {words} is there once too often"
    if abs(r - 1) < 2e-3:
        yield "so near to 1, an eps forgotten, or outside the root?"
    if is_(2) or is_(0.5):
        yield "a 2 too many" if is_(2) else "a 2 is missing"


def _factor_along(e: Evidence) -> str | None:
    """A factor that depends on the place in x, or in y."""
    dims, n = e.x.ndim, e.analytic.ndim
    chosen = [(axis,) for axis in range(n)] + [tuple(range(dims)), tuple(range(dims, n))]
    fallback = None
    for kept in chosen:
        rest = tuple(axis for axis in range(n) if axis not in kept)
        weight = np.sum(e.numeric**2, axis=rest, keepdims=True)
        known = weight > CLOSE**2 * np.max(weight, initial=0.0)
        r = np.where(known, np.sum(e.analytic * e.numeric, axis=rest, keepdims=True) / weight, 1.0)
        if not kept or not e.fits(r * e.numeric):
            continue
        in_x = kept[-1] < dims
        shape = e.x.shape if in_x else e.y.shape
        r, known = (m.reshape(m.shape[:dims] if in_x else m.shape[dims:]) for m in (r, known))
        said = _named_factor(e, np.broadcast_to(r, shape), np.broadcast_to(known, shape))
        if said:
            return said
        per_entry = np.sum(np.abs(e.numeric) > CLOSE * e.size, axis=rest)
        few = np.sum(np.abs(r - 1) > CLOSE) <= max(1, r.size // 4)
        if len(kept) == 1 and np.min(per_entry) > 1 and fallback is None and not few:
            axis = f"axis {kept[0] if in_x else kept[0] - dims} of {e.argument if in_x else 'the result'}"
            some = ", ".join(f"{v:.6g}" for v in r.ravel()[:4])
            eps = ", so near to 1: an eps forgotten, or outside the root?" if np.max(np.abs(r - 1)) < 0.01 else ""
            fallback = f"off by a factor that differs along {axis}: {some}{' ...' if r.size > 4 else ''}{eps}"
    return fallback


def _named_factor(e: Evidence, r: FloatArray, known: Any) -> str | None:
    if not known.any() or np.ptp(r[known]) <= CLOSE * np.max(np.abs(r[known])):
        return None
    for name, axis, _, var in e.centred():
        if not _broadcasts(var, r.shape) or np.ptp(var) <= CLOSE * np.max(var):
            continue
        v, of = np.broadcast_to(var, r.shape)[known], f"{name} over axis {axis}" if axis is not None else name
        s = r[known] ** 2
        for value, words in (
            (s - v, f"1/std of {of} is missing"),
            (1 / s - v, f"1/std of {of} is there once too often"),
            (s**0.5 - v, f"1/var of {of} is missing: the power of inv_std is wrong"),
            (s**-0.5 - v, f"1/var of {of} is there once too often: the power of inv_std is wrong"),
        ):
            if np.ptp(value) <= CLOSE * np.max(v) and -CLOSE * np.max(v) <= np.mean(value) < np.max(v):
                return words
        eps = (s - 1) * v
        if np.max(np.abs(s - 1)) < 0.5 and np.ptp(eps) <= 0.01 * abs(np.mean(eps)) and np.mean(eps) > 0:
            return f"eps is forgotten: off by factors such as {r[known].flat[0]:.8g} (eps = {np.mean(eps):.3g})"
    for name, q in e.quantities():
        if not _broadcasts(q, r.shape):
            continue
        full = np.broadcast_to(q, r.shape)[known]
        for t, words in (
            (r[known] * full, f"{name} is missing"),
            (r[known] / full, f"{name} is there once too often, or 1/({name}) is missing"),
        ):
            c = float(np.mean(t))
            if np.ptp(full) > CLOSE * np.max(np.abs(full)) and c and np.ptp(t) <= CLOSE * abs(c):
                more = "" if abs(c - 1) < CLOSE else " (and the sign)" if abs(c + 1) < CLOSE else ""
                return words + (more or ("" if abs(c - 1) < CLOSE else f" (and a factor of {1 / c:.6g})"))
    return None


def _broadcasts(q: FloatArray, shape: tuple[int, ...]) -> bool:
    return q.ndim <= len(shape) and all(a in (1, b) for a, b in zip(q.shape[::-1], shape[::-1], strict=False))


def _exchanged(e: Evidence) -> str | None:
    for other, theirs in e.others.items():
        if e.fits(theirs) and np.max(np.abs(theirs)) > CLOSE * e.size:
            return f"this is the derivative by {other}: are the rules in the order of the arguments?"
    return None


def _few(e: Evidence) -> str | None:
    off = np.abs(e.analytic - e.numeric)
    bad = np.max(off.reshape(e.x.size, -1), axis=1) > max(1e-3 * np.max(off), e.noise)
    places = np.argwhere(bad.reshape(e.x.shape))
    if e.x.size > 1 and len(places) <= max(1, e.x.size // 4):
        listed = ", ".join(str([int(k) for k in place]) for place in places[:4])
        return f"wrong only at {listed}{' ...' if len(places) > 4 else ''}"
    return None


def _wrong_axis(e: Evidence) -> str | None:
    reach = [(pair, e.reaches(e.analytic, pair), e.reaches(e.numeric, pair)) for pair in e.pairs]
    more = [pair[0] for pair, a, n in reach if a and not n]
    if not more:
        return None
    axes = " and ".join(f"axis {axis}" for axis in more)
    less = [pair[0] for pair, a, n in reach if n and not a]
    instead = f", and none across axis {less[0]}, where they belong" if less else ""
    whole = len(more) == len(e.pairs) or (len(e.pairs) > 1 and all(a for _, a, _ in reach))
    summed = " (summed over everything?)" if whole and not less else ""
    return f"wrong axis: entries across {axes} of {e.argument}, where the truth is 0{instead}{summed}"


def _not_summed(e: Evidence) -> str | None:
    """Only some of the places that an argument was broadcast to come back."""
    together = [pair[1] for pair in e.pairs]
    for axis in range(e.y.ndim):
        if axis in together or len(e.pairs) < e.x.ndim or e.y.shape[axis] < 2:
            continue
        rows = np.moveaxis(e.analytic, e.x.ndim + axis, 0), np.moveaxis(e.numeric, e.x.ndim + axis, 0)
        there = [k for k, (a, n) in enumerate(zip(*rows, strict=True)) if np.max(np.abs(a - n)) <= e.near]
        gone = [k for k, a in enumerate(rows[0]) if np.max(np.abs(a)) <= e.near]
        if there and len(there) + len(gone) == e.y.shape[axis]:
            return f"a broadcast is not summed: only places {there[:4]} along axis {axis} of the result come back"
    return None


def _across(e: Evidence) -> str | None:
    """What goes from one place to another, by way of a sum or mean, is off by a factor or left out."""
    if e.x.shape != e.y.shape or not e.across:
        return None
    apart = np.any([e.apart(pair) for pair in e.across], axis=0)
    a, n = e.analytic[apart], e.numeric[apart]
    t = float(a @ n / (n @ n))
    if np.max(np.abs(a - t * n)) > e.near + CLOSE * np.max(np.abs(n)):
        return None
    axes = " and ".join(f"axis {pair[0]}" for pair in e.across)
    way = f"the term that goes across {axes} (a sum, a mean or a projection)"
    if abs(t) < CLOSE:
        return f"{way} is left out: only the direct term is there"
    if abs(t + 1) < CLOSE:
        return f"{way} has the wrong sign"
    for m in e.counts:
        if abs(t - m) < CLOSE * m:
            return f"{way} is {m} times too large: a sum stands where a mean belongs (1/N is missing)"
        if abs(t * m - 1) < CLOSE:
            return f"{way} is {m} times too small: a mean stands where a sum belongs"
    if abs(t - 1) > CLOSE:
        return f"{way} is off by a factor {t:.6g}"
    gone = _direct_gone(e)
    return f"the direct term is {'left out' if gone else 'wrong'}; what goes from one place to another is right"


def _direct_gone(e: Evidence) -> bool:
    """Whether a Jacobian is a product a_i b_j along the one axis it reaches across, on the diagonal as well.

    Softmax's is out_i (delta_ij - out_j): without delta the diagonal is made as the rest is.
    """
    if len(e.across) != 1 or e.x.shape[e.across[0][0]] < 3:
        return False
    axes = e.across[0][0], e.x.ndim + e.across[0][1]
    a = np.moveaxis(e.analytic, axes, (-2, -1))
    n = np.arange(a.shape[-1])
    i, j, k = n, np.roll(n, -1), np.roll(n, -2)
    made, of = a[..., i, i] * a[..., j, k], a[..., j, i] * a[..., i, k]
    return bool(np.max(np.abs(made - of)) <= CLOSE * np.max(np.abs(of)))


def _replaced(e: Evidence) -> str | None:
    """One quantity stands where another belongs: A = c * p where the truth is c * q, at the same places."""
    places = np.abs(e.numeric) > CLOSE * e.size
    if not places.any() or np.max(np.abs(e.analytic[~places]), initial=0.0) > e.near + CLOSE * e.size:
        return None
    a, n = e.analytic[places], e.numeric[places]
    fitted = []
    for name, q in _candidates(e):
        for shape, side in ((e.y.shape, 1), (e.x.shape, 0)):
            if _broadcasts(q, shape):
                full = np.broadcast_to(q, shape).reshape((1,) * e.x.ndim + shape if side else shape + (1,) * e.y.ndim)
                full = np.broadcast_to(full, e.numeric.shape)[places]
                if np.ptp(full) > CLOSE * np.max(np.abs(full)):
                    fitted.append((name, full))
    for right, q in fitted:
        c = float(n @ q / (q @ q))
        if np.max(np.abs(n - c * q)) > CLOSE * e.size:
            continue
        for wrong, p in fitted:
            if np.max(np.abs(a - c * p)) <= CLOSE * np.max(np.abs(a)):
                return f"{wrong} stands where {right} belongs"
    return None


def _candidates(e: Evidence) -> Iterator[tuple[str, FloatArray]]:
    for name, axis, c, var in e.centred():
        over = "" if axis == 0 else f" (axis {axis})" if axis is not None else " (over everything)"
        yield f"{name} - mean{over}", c
        for eps in (0.0, 1e-5, 1e-3, 1e-8, 1e-2, 0.1, 0.05, 1e-6):
            yield f"{name}_hat{over}" + (" without eps" if not eps else ""), c / np.sqrt(var + eps)
        yield f"{name} / std{over}", (c + (e.values[name] - c)) / np.sqrt(var)
    for name, q in e.quantities():
        yield name, q
        if np.all(np.abs(q) > 0):
            yield f"1/({name})", 1.0 / q


def _repeated(e: Evidence) -> str | None:
    error = e.analytic - e.numeric
    for axis in range(e.x.ndim):
        if error.shape[axis] > 1 and np.ptp(error, axis=axis).max() <= e.near + CLOSE * np.max(np.abs(error)):
            return f"the error is the same along axis {axis}: a sum or mean over that axis left out, or once too often"
    return None


def _transposed(e: Evidence) -> str | None:
    if e.x.size != e.y.size:
        return None
    square = e.numeric.reshape(e.x.size, e.y.size)
    turned = np.swapaxes(e.numeric, 0, 1) if e.x.ndim == 2 else e.numeric
    if e.fits(square.T.reshape(e.numeric.shape)) or e.fits(turned):
        return "rows and columns are exchanged: a transpose or an axis is wrong"
    return None


def _matrix(e: Evidence) -> str | None:
    """A factor of a product stands there as its transpose: the truth is built of one square input."""
    if not (e.x.ndim and e.y.ndim and e.x.shape[:-1] == e.y.shape[:-1]):
        return None
    rows = e.x.size // e.x.shape[-1]
    for name, w in e.values.items():
        for there in (w, w.T) if name != e.argument and w.ndim == 2 and w.shape[0] == w.shape[1] else ():
            truth, theirs = (np.kron(np.eye(rows), m) for m in (there, there.T))
            same = truth.size == e.numeric.size and np.max(np.abs(e.numeric.ravel() - truth.ravel())) <= CLOSE * e.size
            if same and np.max(np.abs(e.analytic.ravel() - theirs.ravel())) <= e.near + CLOSE * e.size:
                return f"{name} stands where its transpose belongs"
    return None


KINDS: tuple[Callable[[Evidence], str | None], ...] = (
    _not_finite,
    _zero,
    _without_g,
    _factor,
    _exchanged,
    _matrix,
    _not_summed,
    _factor_along,
    _few,
    normalized,
    _transposed,
    _replaced,
    lambda e: None if e.across else _repeated(e),
    _wrong_axis,
    _across,
    _repeated,
)
