"""mg.from_jax against JAX itself: loss and every gradient, blame, pictures; and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg

jax = pytest.importorskip("jax", reason="mg.from_jax reads functions of jax, which is not installed")
jnp = jax.numpy


@pytest.fixture(autouse=True)
def float64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def off(a, b):
    """max|a - b| / max(|a|, |b|) over the arrays."""
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return np.abs(a - b).max(initial=0) / scale if scale else 0.0


def dense(p, x):
    return x @ p["w"] + p["b"]


def batch_norm(p, x):
    with jax.named_scope("norm"):
        x_hat = (x - x.mean(0)) * jax.lax.rsqrt(x.var(0) + 1e-5)
        return p["gamma"] * x_hat + p["beta"]


def cross_entropy(logits, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean()


def mlp(params, x, y):
    """With batch norm."""
    return cross_entropy(dense(params["out"], jax.nn.relu(batch_norm(params["bn"], dense(params["in"], x)))), y)


def layer_norm(params, x, y):
    z = dense(params["in"], x)
    centred = z - z.mean(-1, keepdims=True)
    z = centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return ((jax.nn.gelu(z, approximate=False) * params["bn"]["gamma"]).sum(-1) - y).var()


def attention(params, x, y):
    q, k, v = jnp.split(x[None] @ params["qkv"], 3, axis=-1)
    scores = jnp.einsum("btd,bsd->bts", q, k) / jnp.sqrt(4.0)
    scores = jnp.where(jnp.tril(jnp.ones((8, 8), bool)), scores, -jnp.inf)
    return jnp.square(jax.nn.softmax(scores) @ v).mean()


def embedding(params, x, y):
    return cross_entropy(dense(params["out"], params["words"][y.reshape(4, 2)].mean(1).repeat(2, axis=0)), y)


def residual(params, x, y):
    @jax.jit
    def block(w, h):
        return h + jax.nn.silu(h @ w)

    h = block(params["square"], block(params["square"], x))
    return jnp.logaddexp(h, 0.0).mean() + jax.nn.logsumexp(h, axis=1).sum()


def rms_norm(params, x, y):
    z = x * jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-6)
    return jnp.abs(dense(params["in"], jax.nn.tanh(z))).max(axis=1).sum()


def huber(params, x, y):
    d = dense(params["out"], jax.nn.sigmoid(dense(params["in"], x))) - jax.nn.one_hot(y, 3)
    return jnp.where(jnp.abs(d) < 0.5, 0.5 * d**2, 0.5 * (jnp.abs(d) - 0.25)).mean()


def target(params, x, y):
    """With a gradient stopped, a checkpoint, and pieces put together again."""
    f = jax.checkpoint(lambda h: jnp.sin(dense(params["in"], h)))
    h = f(x)
    h = jnp.concatenate([h[:, :2], jnp.flip(h, axis=1)[:, 2:], jnp.pad(h, ((0, 0), (1, 0)))[:, :1]], axis=1)
    return jnp.square(h[:, :4] - jax.lax.stop_gradient(h[0, 1:5])).mean() + jnp.cumsum(h, axis=0)[-1].prod()


FUNCTIONS = [mlp, layer_norm, attention, embedding, residual, rms_norm, huber, target]


def arguments():
    rng = np.random.default_rng(0)
    shapes = {"in": {"w": (5, 6), "b": (6,)}, "bn": {"gamma": (6,), "beta": (6,)}, "out": {"w": (6, 3), "b": (3,)}}
    shapes |= {"qkv": (5, 12), "words": (3, 6), "square": (5, 5)}
    params = jax.tree_util.tree_map(lambda s: rng.normal(size=s), shapes, is_leaf=lambda s: isinstance(s, tuple))
    return params, rng.normal(size=(8, 5)), rng.integers(0, 3, 8)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_loss_and_gradients_are_jaxs(function):
    args = arguments()
    f = mg.from_jax(function, *args)
    loss = f()
    theirs, (d_params, d_x) = jax.value_and_grad(function, argnums=(0, 1))(*args)
    assert off(loss.numpy(), np.asarray(theirs)) < 1e-12
    found = dict(zip(f.leaves, mg.grad(loss, list(f.leaves.values())), strict=True))
    expected = {"x": d_x}
    for path, d in jax.tree_util.tree_flatten_with_path(d_params)[0]:
        expected[f"params.{jax.tree_util.keystr(path, simple=True, separator='.')}"] = d
    assert found.keys() == expected.keys()
    largest = max(np.abs(d).max() for d in expected.values())
    for name, d in found.items():
        zero = max(np.abs(d.numpy()).max(), np.abs(expected[name]).max()) < 1e-14 * largest
        assert zero or off(d.numpy(), np.asarray(expected[name])) < 1e-12, name
    assert sum(bool(d.numpy().any()) for d in found.values()) >= 2
    assert mg.check.blame(loss)
    assert loss.op.name in mg.draw(loss).dot


OPS = {
    "elementwise": lambda x, y: sum(
        g(x) for g in (jnp.sin, jnp.cos, jnp.expm1, jnp.sign, jnp.square, jax.scipy.special.erfc)
    ),
    "of positive": lambda x, y: sum(g(y) for g in (jnp.log, jnp.log1p, jnp.sqrt, jnp.exp, jnp.reciprocal)),
    "activations": lambda x, y: sum(
        g(x) for g in (jax.nn.elu, jax.nn.selu, jax.nn.softplus, jax.nn.leaky_relu, jax.nn.relu6, jax.nn.hard_tanh)
    ),
    "powers": lambda x, y: x**3 + x**2 + y**x + y**1.5,
    "clip": lambda x, y: jnp.clip(x, -0.5, 0.5) + jnp.minimum(x, y) + jax.lax.clamp(-1.0, x, 1.0),
    "masks": lambda x, y: jnp.where((x > 0) & ~(y < 1) | (x == 0), x, jnp.where(x != y, y, 0) * (x >= -1) * (y <= 2)),
    "products": lambda x, y: x @ y.T + x[0] @ y[0] + jnp.tensordot(x, y, axes=2) + jnp.outer(x[:, 0], y[:, 1]),
    "einsum": lambda x, y: jnp.einsum("ij,ik->jk", x, y) + jnp.einsum("ij->j", x)[:, None],
    "reductions": lambda x, y: x.min(axis=0) + x.max() + x.std() + jnp.linalg.norm(y, axis=0) + y.prod(axis=0),
    "positions": lambda x, y: x * x.argmax(axis=1)[:, None] + x.argmin(axis=0),
    "shapes": lambda x, y: x.reshape(2, 6)[None].squeeze(0).T + jnp.expand_dims(y.ravel()[:2], 0),
    "slices": lambda x, y: x[1:, ::2] + y[0, 1:3] + x[-1, -2:] + x.at[1].get()[:2],
    "picked": lambda x, y: x[:, jnp.array([0, 2, -1])] + y[jnp.array([1, 1, 0]), jnp.array([3, 0, 2])],
    "rows": lambda x, y: x[jnp.array([[0, 1], [2, 2]])] + jnp.take(y, jnp.array([0, 0]), axis=0),
    "stacked": lambda x, y: jnp.stack([x, y]).sum(0) + jnp.tile(x[:1], (3, 1)) + jnp.roll(y, 1),
    "numbers": lambda x, y: x + jnp.arange(4) + jnp.ones((3, 1)) + jnp.eye(3, 4) + jnp.triu(y) + x.astype(jnp.float32),
    "reversed": lambda x, y: jax.lax.cumsum(x, axis=1, reverse=True) * jnp.cumsum(y, axis=0),
}


@pytest.mark.parametrize("name", OPS)
def test_ops_are_jaxs(name):
    def f(x, y):
        z = OPS[name](x, y)
        return (z * jnp.cos(jnp.arange(z.size)).reshape(z.shape)).sum()

    rng = np.random.default_rng(1)
    args = rng.normal(size=(3, 4)), rng.uniform(0.5, 2.5, (3, 4))
    ours = mg.from_jax(f, *args)
    loss = ours()
    theirs, slopes = jax.value_and_grad(f, argnums=(0, 1))(*args)
    assert off(loss.numpy(), np.asarray(theirs)) < 1e-12
    for d, e in zip(mg.grad(loss, list(ours.leaves.values())), slopes, strict=True):
        assert off(d.numpy(), np.asarray(e)) < 1e-12


# The function that comes out -------------------------------------------------------------------------------


def test_scopes_are_named_scopes_and_jitted_functions():
    x = np.ones((3, 2))

    @jax.jit
    def double(x):
        with jax.named_scope("inner"):
            return jnp.sin(x) * 2

    def f(x):
        with jax.named_scope("first"):
            y = jnp.cos(x)
        with jax.named_scope("first"):
            z = jnp.cos(y)
        return double(z)

    y = mg.from_jax(f, x)()
    assert y.scope == ("double", "inner")
    (z,) = y.inputs[0].inputs[0:1]
    first, second = z.context.scope, z.inputs[0].context.scope
    assert first.name == second.name == "first"


def test_leaves_are_named_by_argument_and_path():
    f = mg.from_jax(lambda params, x: params["layers"][0]["w"] * x, {"layers": [{"w": np.ones(2)}]}, np.ones(2))
    assert list(f.leaves) == ["params.layers.0.w", "x"]
    assert repr(f) == "<from_jax <lambda>: params.layers.0.w (2,), x (2,)>"


def test_other_inputs_of_other_shapes():
    f = mg.from_jax(lambda x: {"sum": x.sum(), "twice": (x * 2, x)}, np.ones(3))
    x = mg.arange(4.0)
    found = f(x)
    assert found["sum"].item() == 6.0
    assert found["twice"][1] is x
    np.testing.assert_array_equal(f(np.ones((2, 2)))["twice"][0].numpy(), np.full((2, 2), 2.0))


def test_relu_has_slope_0_at_0():
    f = mg.from_jax(lambda x: jax.nn.relu(x).sum(), np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(mg.grad(f(), f.leaves["x"]).numpy(), [0.0, 0.0, 1.0])


def test_dtypes_are_jaxs(float64):
    jax.config.update("jax_enable_x64", False)
    f = mg.from_jax(lambda x: x * 2, np.ones(2))
    assert f().dtype == f.inputs[0].dtype == np.float32


def test_a_program_of_it_runs_on_other_inputs():
    f: Any = mg.from_jax(lambda x: jax.nn.logsumexp(x, axis=-1).sum(), np.ones((2, 3)))
    x = np.arange(6.0).reshape(2, 3)
    run, loss = mg.record(f, f.inputs[0]).run(x), f(mg.tensor(x))
    np.testing.assert_allclose(run.value, loss.numpy(), rtol=1e-14)
    np.testing.assert_allclose(run.gradients["x"], jax.grad(f._f)(x), rtol=1e-12)


# What it refuses -------------------------------------------------------------------------------------------


def test_an_unknown_primitive_is_refused_by_name_with_its_place_and_those_that_are_known():
    with pytest.raises(NotImplementedError) as caught:
        mg.from_jax(lambda x: jax.lax.sort(x) + jnp.linalg.cholesky(x), np.eye(3))
    said = str(caught.value)
    assert "no rule for sort (in " in said
    assert "; cholesky" in said
    assert "test_from_jax.py:" in said
    assert "Known ops: " in said
    assert " dot_general, " in said
    with pytest.raises(NotImplementedError, match="random"):
        mg.from_jax(lambda x: x * jax.random.normal(jax.random.key(0), (3,)), np.ones(3))
    with pytest.raises(NotImplementedError, match="scan"):
        mg.from_jax(lambda x: jax.lax.scan(lambda c, v: (c + v, c), x[0], x)[0], np.ones(3))


@jax.custom_vjp
def straight(x):
    return x * 2


straight.defvjp(lambda x: (x * 2, None), lambda _, g: (g,))


def test_a_gradient_that_the_forward_does_not_tell_is_found():
    with pytest.raises(ValueError, match=r"the gradient of x of .* differs from the library's own"):
        mg.from_jax(lambda x: straight(x).sum(), np.ones(3))
    assert mg.from_jax(lambda x: straight(x).sum(), np.ones(3), check=False)().item() == 6.0


def test_what_cannot_be_traced_is_told_in_one_line():
    with pytest.raises(ValueError, match=r"^from_jax: JAX cannot trace <lambda>: TracerBoolConversionError: .*$"):
        mg.from_jax(lambda x: x if x.sum() > 0 else -x, np.ones(3))
