"""Mistakes in the NumPy kernels, the pool, the fast calls and the fast walk."""

from __future__ import annotations

from .planting import mistakes, nearest

_RECORDED = ("tests/recorded",)
_NORM = ("tests/fast/test_batch_norm.py", "tests/normalization", *_RECORDED)
_UPDATES = ("tests/nn/test_batchnorm.py", "tests/optim", *nearest("tests/fast", "test_kernels.py"), *_RECORDED)
_LOSSES = (*nearest("tests/fast", "test_kernels.py", "test_loss_kernels.py"), "tests/test_losses.py", *_RECORDED)
_CORE = ("tests/core/test_engine.py", "tests/core/test_safety.py")
_ROOMS = (
    *_CORE,
    "tests/ops/test_broadcasting.py",
    "tests/ops/test_kinks.py",
    "tests/ops/test_primitives.py",
)
_OPS = (*nearest("tests/fast", "test_kernels.py", "test_pool.py"), *_ROOMS)
_SUMS = (*nearest("tests/fast", "test_reductions.py", "test_totals.py"), *_ROOMS)
_WALK = (*_CORE, *nearest("tests/fast", "test_pool.py"), *_ROOMS[len(_CORE) :])
_INTO = ("tests/replaying/test_primitives.py", "tests/replaying/test_memory.py")

PLANTS = [
    *mistakes(
        "minigrad/fast/numpy_kernels/batch.py",
        _NORM,
        (
            "totals[k], squares[k] = _about(x[rows], np.tile(pivot, side), scratch)",
            "pass",
            "a block far from the pivot is not read again",
        ),
        ("means += pivots - first", "means += pivots", "means are not less the first row"),
        ("squares -= means * totals", "pass", "squares about the pivot are taken for those about the mean"),
        (
            "np.add.reduce(squares, axis=0) / n + weights @ means",
            "np.add.reduce(squares, axis=0) / n",
            "Chan's formula without the distances",
        ),
        ("        if not exact:\n            h -= rest", "        pass", "what rounding took from the mean is lost"),
        (
            "exact = bool((2.0 * np.abs(lost * inv_std) <= np.finfo(x.dtype).eps).all())",
            "exact = False",
            "one pass the more",
            "subtracts what rounding took also where x_hat cannot see it: for speed",
        ),
        ("over = _sum(g)  # (6)", "over = g.sum(0)", "column sums row by row in float32"),
        ("share = 1.0 / len(g)", "share = 1.0 / max(len(g) - 1, 1)", "backward divided by N - 1"),
        (
            "scale = inv_std[0] if gamma is None else gamma * inv_std[0]  # (8)",
            "scale = inv_std[0]",
            "gamma is missing",
        ),
        (
            "scale = inv_std if gamma is None else gamma * inv_std  # (8)",
            "scale = inv_std",
            "gamma is missing in large matrices",
        ),
        (
            "np.multiply(gamma, inv_std[0], dtype=float)  # (8)",
            "inv_std[0].astype(float)",
            "gamma is missing in small matrices of float32",
        ),
        ("h *= scale  # (4)\n", "pass\n", "few numbers are not divided"),
        ("np.add(h, 0.0 if beta is None else beta, y)  # (5)", "np.add(h, 0.0, y)", "few numbers: beta is missing"),
        (
            "np.add(scaled, repeat(beta), out)",
            "np.add(h, repeat(beta), out)",
            "beta is added to what gamma did not scale",
        ),
        ("*([(slice(whole, n), 1)] if whole < n else [])", "", "rows that fill no block are left out"),
        (
            "    if rest:\n        total +=",
            "    if rest > 1:\n        total +=",
            "the last row is not summed",
        ),
        (
            "totals[1] += _sum(np.multiply(g[rows], x_hat[rows], scratch[: rows.stop - rows.start]))  # (7)",
            "totals[1] = _sum(np.multiply(g[rows], x_hat[rows], scratch[: rows.stop - rows.start]))  # (7)",
            "d_gamma of the last block alone",
        ),
        (
            "or not x.size or not x.flags.c_contiguous:\n        return False",
            "or not x.size:\n        return False",
            "kernels take any layout",
        ),
        ("a.dtype != dtype or not", "not", "kernels take gamma of another dtype"),
        (
            "_slope(block, h, out, out, *vectors[side])",
            "_slope(block, h, out, out, *vectors[side][::-1])",
            "mean and scale exchanged",
        ),
    ),
    *mistakes(
        "minigrad/fast/numpy_kernels/updates.py",
        _UPDATES,
        (
            "return lr * root / (1 - beta1**step), eps * root",
            "return lr * root / (1 - beta1**step), eps",
            "Adam: eps is not corrected",
        ),
        ("root = math.sqrt(1 - beta2**step)", "root = 1 - beta2**step", "Adam: correction without a root"),
        (
            "    np.square(g, work)\n    np.multiply(work, rest2, work)",
            "    np.square(m, work)\n    np.multiply(work, rest2, work)",
            "Adam: squares of the average",
        ),
        (
            "for start in range(0, value.size, size):",
            "for start in range(0, max(value.size - size, 1), size):",
            "Adam: the last block stays",
        ),
        (
            "[np.array([x], dtype) for x in (beta1, 1 - beta1, beta2, 1 - beta2)]",
            "[np.array([x], dtype) for x in (beta1, 1 - beta1, beta2, 1 - beta1)]",
            "Adam: the share of the first average in the second",
        ),
        (
            "running_var += var * constant(take * scale, dtype)",
            "running_var += var * constant(take, dtype)",
            "running variance without its scale",
        ),
        (
            "    if not math.isfinite(np.maximum.reduce(var)):  # no variance is negative, and NaN is the largest\n        return False",
            "",
            "running statistics of a batch that is not finite",
        ),
    ),
    *mistakes(
        "minigrad/fast/numpy_kernels/losses.py",
        _LOSSES,
        (
            "np.maximum.reduce(labels.view(np.uintp)) >= classes",
            "np.maximum.reduce(labels) >= classes",
            "negative labels",
        ),
        ("not np.logical_and.reduce(np.isfinite(top)) or", "False or", "rows without a finite number"),
        ("np.multiply(d_logits, g[:, None], d_logits)", "np.multiply(d_logits, g[0], d_logits)", "one g for all rows"),
        (
            "d_logits.reshape(-1)[_starts(*log_p.shape) + labels] -= 1.0",
            "d_logits.reshape(-1)[labels] -= 1.0",
            "labels of the first row",
        ),
        (
            "        np.multiply(rest, a, rest)\n",
            "",
            "the slope of one side in the place of the other's",
        ),
        ("np.subtract(high, loss, loss)", "np.add(high, loss, loss)", "binary cross-entropy of negative scores"),
    ),
    *mistakes(
        "minigrad/fast/numpy_kernels/outer.py",
        (*_OPS, *_INTO),
        (
            "x.ndim != 2 or not x.shape[1] == 1 < len(x):",
            "x.ndim != 2 or not x.shape[1] == 1:",
            "np.dot of single numbers leaves out NaN",
        ),
        ("and inner == also and dtype == y.dtype", "and inner == also", "room of the first dtype for mixed ones"),
    ),
    *mistakes(
        "minigrad/fast/select.py",
        _OPS,
        ("        and condition.shape == x.shape\n", "", "a mask that is stretched"),
        ("        and condition.flags.c_contiguous\n", "", "a mask in another layout"),
        ('        and str(y) == "0.0"  # and not -0.0\n', "        and y == 0.0\n", "-0.0 elsewhere"),
        ('        and x.dtype.char in "fd"\n', '        and x.dtype.char in "fdli"\n', "masks of integers"),
    ),
    *mistakes(
        "minigrad/fast/totals.py",
        _SUMS,
        (
            "_add(_sums_of_blocks(rows[:whole]), axis=0, dtype=float) + _few(rows[whole:])",
            "_add(_sums_of_blocks(rows[:whole]), axis=0, dtype=float)",
            "sums without the rows that fill no block",
        ),
        (
            "len(x) >= 2 * BLOCK and axes_of(axis, x.ndim) == (0,):",
            "len(x) >= 2 * BLOCK:",
            "sums over other axes go down the rows",
        ),
        (
            "found / number(n, found.dtype) if n > 0",
            "found / number(n, found.dtype) if n != 0",
            "a mean with more ddof than numbers",
        ),
        ("n = count(x.shape, axis) - ddof", "n = count(x.shape, axis)", "average without ddof"),
        (
            "return (_add(blocks, axis=0, dtype=float) + _few(rest)).astype(x.dtype)",
            "return _add(blocks, axis=0, dtype=float).astype(x.dtype)",
            "sums block by block without the rest",
        ),
    ),
    *mistakes(
        "minigrad/fast/reductions.py",
        _SUMS,
        ("mean = average(x, axis, True)", "mean = average(x, None, True)", "centred about the mean of all"),
        (
            "_widened(g / count_of(shape, axis, g.dtype), shape, axis)",
            "_widened(g / count_of(shape, None, g.dtype), shape, axis)",
            "mean over an axis divided by all",
        ),
        (
            "return -g if g.shape == y.shape else -_down(g, y)",
            "return g if g.shape == y.shape else -_down(g, y)",
            "the sign of a subtraction",
        ),
        (
            "return g / y, -_down(g * out, y) / y",
            "return g / y, -_down(g * inputs[0], y) / y",
            "the slope by a stretched divisor",
        ),
        (
            "unwrapped(-_down(_summed(g, out, y.shape), y) / y)",
            "unwrapped(-_down(_summed(g, out, y.shape), y))",
            "the slope by a large stretched divisor",
        ),
        (
            "return found if found.shape == y.shape else found.reshape(y.shape)",
            "return found",
            "sums keep the axes that were stretched",
        ),
    ),
    *mistakes(
        "minigrad/fast/pool.py",
        _WALK,
        ("if _count(kept[k]) == _ALONE:", "if True:", "memory is handed out while somebody looks"),
        ("or not (d.base is None or _unshared(d))", "", "a view of what others see is handed out"),
        (
            "d = np.array(before[x]._array) if x in before else",
            "d = before[x]._array if x in before else",
            "the same tensor asked for twice gets one memory",
        ),
        ("if x.dtype != self.dtype or (", "if (", "room of one dtype for another"),
    ),
    *mistakes(
        "minigrad/fast/walk.py",
        _WALK,
        ("    if x in temporaries:\n", "    if True:\n", "what a rule gave to several is added to in place"),
        (
            "late_inputs = latest > node.number and late(node)",
            "late_inputs = False",
            "values written later are not noticed",
        ),
        ("if known is not (op.rules or op.joint):", "if known is None:", "rules that were exchanged"),
        ("if retained and node in retained:\n            retained[node] = g", "pass", "retained gradients"),
        (
            "x._needs and (path is None or x in path):",
            "x._needs:",
            "the walk leaves the path",
            "other leaves get gradients that nobody asked for: only time is lost",
        ),
        ("or d.dtype is not a.dtype:", ":", "gradients of another dtype"),
    ),
    *mistakes(
        "minigrad/fast/into.py",
        _INTO,
        ('"less": np.less,\n', '"less": np.less_equal,\n', "less is less or equal"),
        ('x.dtype.char not in "fdg" or not n or chosen() == "reference"', "not n", "sums of integers into floats"),
        (
            "np.array(count(x.shape, axis), g.dtype), out)",
            "np.array(x.size, g.dtype), out)",
            "mean's rule divides by all",
        ),
        ('return name in UFUNCS or name in ("relu", "where")', "return True", "every op may take its input's memory"),
    ),
    *mistakes(
        "minigrad/fast/fused.py",
        (*nearest("tests/fast", "test_loss_kernels.py"), "tests/replaying/test_primitives.py", "tests/normalization"),
        (
            'params["axis"] != (0,) or not fits(x, gamma, beta):',
            "not fits(x, gamma, beta):",
            "batch norm over another axis",
        ),
        (
            "into[3][0], into[4][0] = offset, var",
            "into[3][0], into[4][0] = var, offset",
            "mean and variance exchanged in replay",
        ),
        (
            "dt = np.negative(np.multiply(g, arrays[0], dt), dt)",
            "dt = np.multiply(g, arrays[0], dt)",
            "the slope of targets",
        ),
        (
            "if fast is None or not _trailing(x, axis) or not fits(_rows(x, axis), gamma, beta):",
            "if fast is None or not fits(_rows(x, axis), gamma, beta):",
            "layer norm over leading axes",
            "without compiled kernels there is no layer norm kernel; kind `compiled` plants it there",
        ),
    ),
]
