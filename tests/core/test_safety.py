"""Never silently wrong: aliasing, writes between forward and backward, no_grad, threads."""

import gc
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.core.nodes import raw, write

from ..helpers import leaf

# Gradients are their own ----------------------------------------------------------------------------------------

SHARING = {
    "a+b": lambda a, b: a + b,
    "(a+b)*2": lambda a, b: (a + b) * 2.0,
    "a-b": lambda a, b: a - b,
    "concatenate": lambda a, b: mg.concatenate([a, b])[2:6],
    "stack": lambda a, b: mg.sum(mg.stack([a, b]), axis=0),
    "reshape": lambda a, b: mg.reshape(mg.transpose(mg.reshape(a + b, (2, 2))), (4,)),
    "broadcast": lambda a, b: mg.broadcast_to(mg.sum(a) + mg.sum(b), (4,)),
    "a": lambda a, b: a,
    "a[:]": lambda a, b: a[:] + b[::-1],
    "clip": lambda a, b: mg.clip(a) + mg.clip(b),
    "a*b": lambda a, b: a * b,
}


@pytest.mark.parametrize("name", SHARING)
@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("way", ["grad", "backward", "backward, Tensor"])
def test_gradients_share_memory_with_nothing(name, create_graph, way):
    a, b = leaf([1.0, 2.0, 3.0, 4.0]), leaf([5.0, 6.0, 7.0, 8.0])
    y = SHARING[name](a, b)
    c = np.array([1.0, -1.0, 2.0, 0.5])
    cotangent = mg.tensor(c) if way == "backward, Tensor" else c
    tensors = list({id(x): x for x in (a, b, y)}.values())
    if way == "grad":
        ds = list(mg.grad(y, tensors, gradient=cotangent, create_graph=create_graph))
    else:
        y.retain_grad()
        y.backward(cotangent, create_graph=create_graph)
        ds = [x.grad for x in tensors if x.grad is not None]
    assert len(ds) == (1 if name == "a" and way != "grad" else len(tensors))
    others = [c, raw(cotangent), *(x._array for x in tensors)]
    for k, d in enumerate(ds):
        for other in (*others, *(e._array for e in ds[:k])):
            assert not np.shares_memory(d._array, other)
    np.testing.assert_array_equal(c, [1.0, -1.0, 2.0, 0.5])


def test_two_gradients_of_the_same_tensor_are_two_arrays():
    x = leaf([1.0, 2.0])
    for create_graph in (False, True):
        one, other = mg.grad(x * 2.0, (x, x), gradient=np.ones(2), create_graph=create_graph)
        assert not np.shares_memory(one._array, other._array)


def test_adding_to_a_gradient_leaves_the_one_before_alone():
    x = leaf([1.0, 2.0])
    mg.sum(x * 2.0).backward()
    before = x.grad
    mg.sum(x * 2.0).backward()
    np.testing.assert_array_equal(before.data, [2.0, 2.0])
    np.testing.assert_array_equal(x.grad.data, [4.0, 4.0])


# Writes ---------------------------------------------------------------------------------------------------------


def test_the_users_arrays_are_not_the_graphs():
    mine, constant, index, c = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([0, 0]), np.ones(2)
    mask = np.array([True, False])
    x = leaf(mine)
    rows = np.array([0, 0])
    y = (x * constant)[index] * mg.where(mask, x, 0.0) + constant + 0.0 * mg.stack([x, x])[rows, index]
    mine[:], constant[:], index[:], mask[:], rows[:] = 9.0, 9.0, 1, False, 7
    np.testing.assert_array_equal(x.data, [1.0, 2.0])
    y.backward(c)
    c[:] = 7.0
    np.testing.assert_array_equal(x.grad.data, [2 * 3.0, 0.0])


def test_views_for_reading_cannot_be_written():
    x = leaf([1.0, 2.0])
    for a in (x.data, x.numpy(), mg.exp(x).data):
        with pytest.raises(ValueError, match="read-only"):
            a[0] = 5.0
    with pytest.raises(ValueError, match="read-only"):
        x.data += 1.0


def through_leaf(x):
    x.data = x.data * 10.0


def through_detached_alias_that_is_gone(x):
    x.detach().data = x.data * 10.0


def through_detached_view(x):
    d = x.reshape(2, 2).detach()
    d.data = d.data * 10.0


def through_the_optimizers_way(x):
    write(x, x._array * 10.0)


WRITES = [through_leaf, through_detached_alias_that_is_gone, through_detached_view, through_the_optimizers_way]
READING = {
    "x*x": (lambda x: x * x, "mul"),
    "exp": (lambda x: mg.exp(x) * x, "mul"),
    "log": (lambda x: mg.log(x) * 2.0, "log"),
    "view": (lambda x: mg.square(mg.reshape(x, (2, 2))), "square"),
    "slice": (lambda x: mg.square(x[1:3]), "square"),
    "constant": (lambda x: mg.tensor(np.ones(4), requires_grad=True) * x.detach(), "mul"),
}


@pytest.mark.parametrize("change", WRITES)
@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_value_that_was_written_since_is_refused(change, name, create_graph):
    f, op = READING[name]
    x = leaf([1.0, 2.0, 3.0, 4.0], name="w")
    y = f(x)
    change(x)
    message = rf"{op} needs .* for its gradient, but that memory was written .*after {op} was recorded; run the forward"
    with pytest.raises(RuntimeError, match=message):
        y.backward(np.ones(y.shape), create_graph=create_graph)
    assert x.grad is None
    f(x).backward(np.ones(y.shape), create_graph=create_graph)  # recorded after the write: fine


@pytest.mark.parametrize("change", WRITES)
def test_a_write_that_no_rule_reads_does_not_disturb(change):
    x = leaf([1.0, 2.0, 3.0, 4.0])
    y = mg.sum(mg.exp(x + 1.0) * 2.0)
    expected = mg.grad(y, x).data
    change(x)
    np.testing.assert_array_equal(mg.grad(y, x).data, expected)


def test_a_write_in_the_middle_of_a_graph():
    x = leaf([1.0, 2.0])
    y = x * x
    through_leaf(x)
    z = mg.sum(y + 1.0)
    with pytest.raises(RuntimeError, match="mul needs"):
        z.backward()
    x = leaf([1.0, 2.0])
    y = x + 1.0
    through_leaf(x)
    np.testing.assert_array_equal(mg.grad(y * x, x, gradient=np.ones(2)).data, [2.0 + 10.0, 3.0 + 20.0])


def test_a_write_matters_only_to_rules_that_will_run():
    x, w = mg.tensor(np.ones((2, 3))), leaf(np.ones((3, 2)))
    y = x @ w  # x needs no gradient, so w is not read
    w.data = w.data * 2.0
    np.testing.assert_array_equal(mg.grad(y, w, gradient=np.ones((2, 2))).data, np.full((3, 2), 2.0))


def test_a_write_to_what_save_returned_or_would_read_again_is_refused():
    @mg.primitive(save=lambda x, /: (x,), formula="x**2")
    def squared(x, /, *, saved):
        return saved[0] * saved[0]

    squared.defvjp_joint(lambda g, out, saved, x: (2.0 * g * saved[0],))
    x = leaf([1.0, 2.0])
    y = squared(x)
    through_leaf(x)
    with pytest.raises(RuntimeError, match="squared needs what it saved"):
        y.backward(np.ones(2))
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = mg.batch_norm(x)
    through_leaf(x)
    y.backward(np.ones((2, 2)))  # x_hat and inv_std were kept
    with pytest.raises(RuntimeError, match=r"batch_norm needs \(2, 2\) float64"):
        y.backward(np.ones((2, 2)), create_graph=True)  # here they are computed again, from x


def test_an_error_names_the_written_tensor():
    x = leaf([1.0, 2.0], name="weights")
    y = x * x
    through_leaf(x)
    with pytest.raises(RuntimeError, match=r"mul needs weights: \(2,\) float64 .* was written \(as weights\)"):
        y.backward(np.ones(2))


def test_failed_writes_change_nothing():
    x = leaf([1.0, 2.0])
    for value in (np.ones(3), 1.0):
        with pytest.raises(ValueError, match=r"a tensor of shape \(2,\) and dtype float64 cannot take data of shape"):
            x.data = value
    for value, words in ((np.ones(2, complex), "complex numbers"), (np.array(["a", "b"]), "expected real numbers")):
        with pytest.raises(TypeError, match=words):
            x.data = value
    y = x * 2.0
    with pytest.raises(ValueError, match=r"was computed by mul; only a leaf can be assigned to"):
        y.data = np.ones(2)
    np.testing.assert_array_equal(x.data, [1.0, 2.0])
    y.backward(np.ones(2))
    stretched = mg.broadcast_to(x, (3, 2)).detach()
    with pytest.raises(ValueError, match="looks at memory that is read-only"):
        stretched.data = np.zeros((3, 2))


def test_assigning_overlapping_and_narrower_data():
    x = leaf([1.0, 2.0, 3.0])
    x.data = x.data[::-1]
    np.testing.assert_array_equal(x.data, [3.0, 2.0, 1.0])
    small = mg.tensor([1.0, 2.0], dtype=np.float32)
    small.data = np.array([3.0, 4.0])
    assert small.dtype == np.float32
    x.data = mg.tensor([1, 2, 3])
    assert x.dtype == np.float64
    counts = mg.tensor([1, 2])
    with pytest.raises(ValueError, match=r"dtype int64 cannot take data of shape .* dtype float64"):
        counts.data = np.array([0.5, 1.5])


# Threads --------------------------------------------------------------------------------------------------------


def in_threads(work, count=4):
    failures: list[BaseException] = []

    def run(k):
        try:
            work(k)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_threads_build_and_walk_their_own_graphs():
    shared = leaf([1.0, 2.0])
    barrier = threading.Barrier(4)

    def work(k):
        barrier.wait()
        for _ in range(50):
            x = leaf([float(k), 2.0])
            y = mg.sum(x * x * shared)
            np.testing.assert_array_equal(mg.grad(y, x).data, 2 * x.data * shared.data)

    in_threads(work)


def test_no_grad_belongs_to_its_thread():
    x = leaf(1.0)
    inside, leave = threading.Event(), threading.Event()

    def work(k):
        if k == 0:
            with mg.no_grad():
                inside.set()
                leave.wait()
                assert not (x * 2.0).requires_grad
        else:
            inside.wait()
            try:
                assert (x * 2.0).requires_grad
            finally:
                leave.set()

    in_threads(work, 2)


def test_one_no_grad_object_serves_several_threads():
    quiet, x = mg.no_grad(), leaf(1.0)
    one_in, both_in, one_out = threading.Event(), threading.Event(), threading.Event()

    def work(k):
        if k == 0:
            with quiet:
                one_in.set()
                both_in.wait()
            one_out.set()
            assert (x * 2.0).requires_grad
        else:
            one_in.wait()
            with mg.no_grad():
                with quiet:
                    both_in.set()
                    one_out.wait()
                assert not (x * 2.0).requires_grad
            assert (x * 2.0).requires_grad

    in_threads(work, 2)


def test_memory_that_the_collector_frees_during_a_walk_is_no_trouble():
    """What was written may die in a cycle, and the collector may run at any allocation: also in the walk's own."""
    w = leaf([1.0, 2.0])
    thresholds = gc.get_threshold()
    gc.disable()
    freed = 0
    gc.freeze()  # the collector looks at what is made from here on, not at all modules of the suite 80 times
    try:
        for later in range(80):
            gc.collect()
            y = (w * w).sum()
            ring: list[object] = [leaf(np.zeros(2)) for _ in range(20)]
            for tensor in ring:
                write(tensor, 1.0)  # type: ignore[arg-type]
            ring.append(ring)
            held = weakref.ref(tensor)
            del ring, tensor
            gc.set_threshold(gc.get_count()[0] + later)  # so many allocations from here
            gc.enable()
            alive = held() is not None
            y.backward()
            gc.disable()
            freed += alive and held() is None
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        gc.enable()
    np.testing.assert_array_equal(w.grad.data, 80 * 2 * w.data)
    assert freed > 3, "the collector ran during the walk"


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum"])
@pytest.mark.parametrize("shape", [(3,), (300, 300)], ids=str)
def test_gradients_have_the_dtype_of_what_they_are_of(name, shape):
    x, w = mg.tensor(np.full(shape, 2.0, "f"), requires_grad=True), mg.tensor(np.full(shape, 3.0), requires_grad=True)
    y = getattr(mg.ops, name)(x, w)
    dx, dw = mg.grad(y, [x, w], gradient=np.ones(shape))
    assert [str(t.dtype) for t in (y, dx, dw)] == ["float64", "float32", "float64"]
