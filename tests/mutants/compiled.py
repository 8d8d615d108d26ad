"""Mistakes in the compiled kernels, for where numba is: run with MINIGRAD_KERNELS=numba."""

from __future__ import annotations

from .planting import mistakes, nearest

_FAST = (*nearest("tests/fast", "test_kernels.py", "test_loss_kernels.py"), "tests/recorded")

PLANTS = [
    *mistakes(
        "minigrad/fast/compiled/batch.py",
        ("tests/fast/test_batch_norm.py",),
        (
            "squares[j] += own[j] - mean * sums[j] + gap * gap * weight",
            "squares[j] += own[j] - mean * sums[j]",
            "Chan's formula without distances",
        ),
        (
            "over[j] / n, along[j] / n, gamma[j] * inv_std[0, j]",
            "over[j] / n, along[j] / n, inv_std[0, j]",
            "gamma is missing",
        ),
        ("        if not near:\n", "        if False:\n", "a block far from the pivot is not read again"),
        ("one / np.sqrt(var[j] + small)", "one / (np.sqrt(var[j]) + small)", "eps outside the root"),
        ("            pour(flat_y[start:stop], strip_y)", "            pass", "large results are not poured"),
        (
            "for i in range(fours, flat.size, w):\n        g0",
            "for i in range(fours, flat.size - w, w):\n        g0",
            "the last rows are not summed",
        ),
    ),
    *mistakes(
        "minigrad/fast/compiled/tiny.py",
        ("tests/fast/test_batch_norm.py",),
        ("(mean + x_hat[i, j] * slope))", "(mean - x_hat[i, j] * slope))", "a sign in few numbers"),
        ("var = total / n\n", "var = total / (n + 1e-9)\n", "a variance off by 1e-9"),
    ),
    *mistakes(
        "minigrad/fast/compiled/layer.py",
        _FAST,
        ("(out[j] - mean - h[j] * slope)", "(out[j] - h[j] * slope)", "layer norm: mean as a constant"),
        ("            total_h += out[j] * h[j]", "            pass", "layer norm: the rest of a row"),
    ),
    *mistakes(
        "minigrad/fast/compiled/losses.py",
        nearest("tests/fast", "test_loss_kernels.py"),
        ("slope[k] = ((one - p) * a - p * b)", "slope[k] = (one * a - p * b)", "1 - t is missing"),
    ),
    *mistakes(
        "minigrad/fast/compiled/masks.py",
        _FAST,
        ("x[k] = x[k] if condition[k] else zero", "x[k] = x[k] * condition[k]", "inf * 0 in place"),
    ),
    *mistakes(
        "minigrad/fast/compiled/updates.py",
        _FAST,
        ("rate * (a / (np.sqrt(b) + eps))", "rate * (a / np.sqrt(b + eps))", "eps inside the root"),
    ),
    *mistakes(
        "minigrad/fast/fused.py",
        _FAST,
        (
            "if fast is None or not _trailing(x, axis) or not fits(_rows(x, axis), gamma, beta):",
            "if fast is None or not fits(_rows(x, axis), gamma, beta):",
            "layer norm over leading axes",
        ),
    ),
]
