"""The ONNX file: names, constants, nodes and shapes collected, checked by onnx' own checker, then written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from .. import nn
from .._support.arrays import plain
from .._support.extras import needs
from .._support.files import PathLike, written_aside
from .._support.randomness import restore, state_of
from .._support.signatures import Values
from ..core.nodes import Node
from ..core.tensor import Tensor
from ..nn.module import in_mode
from ..program import Instruction, Program, Value
from ..program.as_graph import of_graph
from .operators import TABLE, unsupported
from .recording import Rows, in_operators, recorded

OPSET, IR = 20, 9  # of early 2024: what onnxruntime 1.18 and newer read
ROWS = "batch"


def onnx(
    what: Callable[..., Any] | Node | Sequence[Node],
    path: PathLike,
    inputs: Values = None,
    *,
    names: Sequence[str] | None = None,
    dtype: str = "float32",
    dynamic_batch: bool | None = None,
    training: bool = False,
) -> None:
    """Write a model, a function or a recorded graph as an ONNX file, for Netron, onnxruntime and whatever reads ONNX.

    what: a Module, a function of Tensors, or a Tensor (or several) with its graph. inputs: an example array, or one
    for each argument, to call it with; a network that begins with Linear or BatchNorm1d needs none. For a graph: the
    leaves that become inputs of the file; without it all leaves do, their values as defaults. names: of the inputs.
    dtype: of all floating-point numbers in the file. training=False calls modules in eval(); running statistics and
    generators are as before in either case.

    Ops of composed graphs become the same ops of ONNX, a linear layer Gemm, batch norm in eval BatchNormalization,
    layer norm LayerNormalization, softmax Softmax. Every value carries its shape. The number of rows is free where
    the function does the same for any (dynamic_batch=True: an error where it does not; False: always as in the
    example). NotImplementedError for what ONNX has no operator for, ValueError for a constant that was computed from
    the inputs outside the graph; nothing is written then.

    >>> import minigrad as mg
    >>> net = mg.nn.MLP((4, 8, 3), norm="batch", rng=0)
    >>> mg.export.onnx(net, "net.onnx")         # doctest: +SKIP
    """
    library = needs("onnx", "exporting to ONNX", extra="onnx")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"export: dtype={dtype!r} must be 'float32' or 'float64'")
    listed = list(what) if isinstance(what, (list, tuple)) else [what]
    if all(isinstance(y, Tensor) for y in listed) and listed:
        program, rows = _of_graph(listed, inputs), None
    elif callable(what):
        program, rows = _of_function(what, inputs, dynamic_batch, training)
    else:
        raise TypeError(f"export: expected a Module, a function or Tensors with a graph, got {type(what).__name__}")
    if names is not None and (len(names) != len(program.inputs) or len(set(names)) < len(names)):
        raise ValueError(f"export: names={list(names)!r} must be {len(program.inputs)} different names")
    defaults = inputs is None and not callable(what)
    file = File(library, program, np.dtype(dtype), names, rows, defaults)
    with written_aside(path) as target:
        target.write(file.model().SerializeToString())


def _of_graph(outputs: list[Any], inputs: Any) -> Program:
    leaves = [v.source for v in of_graph(outputs).tensors()]
    if all(y.op is None for y in outputs):
        raise ValueError("export: the tensor has no graph; nothing that it was computed from requires a gradient")
    chosen = leaves if inputs is None else [inputs] if isinstance(inputs, Node) else list(inputs)
    for x in chosen:
        if x not in set(leaves):
            raise ValueError(
                "export: inputs= of a graph are leaves that it was computed from; for arrays give a function"
            )
    return in_operators(of_graph(outputs, chosen))


def _of_function(
    function: Callable[..., Any], inputs: Any, dynamic: bool | None, training: bool
) -> tuple[Program, Rows | None]:
    arrays = _examples(function, inputs)
    model = function if isinstance(function, nn.Module) else None
    states = [(rng, state_of(rng)) for rng in (model.generators() if model is not None else ())]
    try:
        with in_mode(model, training) if model is not None else nullcontext():
            return recorded(function, arrays, dynamic)
    finally:
        for rng, state in states:
            restore(rng, state)


def _examples(function: Callable[..., Any], inputs: Any) -> list[Any]:
    if inputs is None:
        for _, module in function.named_modules() if isinstance(function, nn.Module) else ():
            width = module.weight.shape[0] if isinstance(module, nn.Linear) else getattr(module, "num_features", None)
            if width is not None:
                like = next(iter(module.parameters()), None)
                drawn = np.random.default_rng(0).normal(size=(3, width))
                return [drawn.astype(like.dtype if like is not None else float)]
        raise ValueError("export: give inputs=, an example array for each argument of the function")
    many = isinstance(inputs, (list, tuple)) and all(hasattr(x, "shape") for x in inputs)
    arrays = [np.array(plain(x)) for x in (inputs if many else [inputs])]
    for a in arrays:
        if a.dtype.kind != "f":
            raise TypeError(
                f"export: example inputs must be floating-point, got {a.dtype}; convert with .astype(float)"
            )
    return arrays


class File:
    """An ONNX graph in the making: what the entries of the table add nodes and constants to."""

    def __init__(
        self,
        library: Any,
        program: Program,
        floats: np.dtype[Any],
        names: Sequence[str] | None,
        rows: Rows | None,
        defaults: bool,
    ) -> None:
        self.library, self.rows, self.floats = library, rows, floats
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.shapes: list[Any] = []
        self.known: dict[Any, str] = {}  # name of each value
        self.given = set(program.inputs)
        self.taken: dict[str, int] = {}  # names, and how often each was wanted
        self.prefix = ""
        for k, x in enumerate(program.inputs):
            self.known[x] = self.fresh(names[k] if names else x.name or ("x" if k == 0 else f"x{k}"))
        self.inputs = [self.described(self.known[x], x) for x in program.inputs]
        if defaults:
            for x in program.inputs:
                self.constants[self.known[x]] = x.array.astype(self.typed(x.dtype))
        for step in program.instructions:
            self.add(step)
        self.told: set[Any] = set()
        self.outputs = [self.output(y) for y in program.template]

    def add(self, step: Instruction) -> None:
        """The nodes of one step, the last of them with the tensor's own name and its shape."""
        emitter = TABLE.get(step.name)
        if emitter is None:
            raise unsupported(step)
        self.prefix = "/".join([*step.scope, step.out.name or step.name])
        made = emitter(self, step)
        if not self.nodes or made not in self.nodes[-1].output:
            made = self.node("Identity", made)
        name = self.fresh(step.out.name or step.name)
        self.nodes[-1].output[0] = name
        self.known[step.out] = name
        self.shapes.append(self.described(name, step.out))

    def output(self, y: Any) -> Any:
        """The description of an output; one that is an input, or stands twice, gets a node of its own."""
        name = self.known[y]
        if y in self.given or y in self.told:
            self.prefix = "output"
            name = self.node("Identity", name)
        self.told.add(y)
        return self.described(name, y)

    def model(self) -> Any:
        """The whole, checked."""
        helper = self.library.helper
        outputs = {y.name for y in self.outputs}
        constants = [self.library.numpy_helper.from_array(a, name) for name, a in self.constants.items()]
        inner = [shape for shape in self.shapes if shape.name not in outputs]
        graph = helper.make_graph(self.nodes, "minigrad", self.inputs, self.outputs, constants, value_info=inner)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="minigrad")
        self.library.checker.check_model(model, full_check=True)
        # what stands between the nodes of one op has no Tensor here: ONNX works its shape out
        return self.library.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)

    # names, types and shapes --------------------------------------------------------------------------------

    def fresh(self, wanted: str) -> str:
        """`wanted`, or with a number where that is taken."""
        name = wanted = wanted.encode("utf-8", "replace").decode()  # the file takes no lone surrogates
        while name in self.taken:
            self.taken[wanted] += 1
            name = f"{wanted}_{self.taken[wanted]}"
        self.taken[name] = 1
        return name

    def typed(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype that a value has in the file."""
        return self.floats if dtype.kind == "f" else np.dtype(bool) if dtype.kind == "b" else np.dtype(np.int64)

    def described(self, name: str, x: Any) -> Any:
        """Name, type and shape of a value, with the number of rows left open where it is."""
        helper = self.library.helper
        rows = (self.rows or {}).get(x, ())
        shape = [ROWS if k in rows else n for k, n in enumerate(x.shape)]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(self.typed(x.dtype)), shape)

    # what entries of the table use --------------------------------------------------------------------------

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; the name of its result."""
        result = self.fresh(f"{self.prefix}/{operator}")
        self.nodes.append(self.library.helper.make_node(operator, list(inputs), [result], name=result, **attributes))
        return result

    def name(self, x: Any) -> str:
        """The name of a value; a leaf that is not an input, or an array, becomes a constant of the file."""
        if not isinstance(x, Value):
            return self.constant(x, np.asarray(x).dtype)
        if x not in self.known:
            self.known[x] = self.constant(x.array, x.dtype, x.name or "constant")
        return self.known[x]

    def operand(self, x: Any, dtype: np.dtype[Any]) -> str:
        """The name of a value as `dtype`, cast where it is of another."""
        if not isinstance(x, Value) or x.kind == "constant":
            return self.constant(getattr(x, "array", x), dtype)
        return self.name(x) if self.typed(x.dtype) == self.typed(dtype) else self.cast(self.name(x), dtype)

    def alike(self, step: Instruction) -> list[str]:
        """The inputs of a step, all of the one dtype that NumPy computes it in."""
        dtype = (
            np.dtype(bool)
            if step.name.startswith("logical_")
            else np.result_type(*[getattr(x, "array", x) for x in step.inputs])
        )
        if step.name in ("div", "exp", "log", "sqrt", "sin", "cos", "tanh") or step.out.dtype.kind == "f":
            dtype = step.out.dtype
        return [self.operand(x, dtype) for x in step.inputs]

    def cast(self, name: str, dtype: np.dtype[Any]) -> str:
        """A value in another dtype."""
        return self.node("Cast", name, to=self.library.helper.np_dtype_to_tensor_dtype(self.typed(dtype)))

    def constant(self, value: Any, dtype: np.dtype[Any], name: str = "constant") -> str:
        """A constant of the file."""
        name = self.fresh(name)
        self.constants[name] = np.array(value, self.typed(dtype), order="C")
        return name

    def number(self, value: float) -> str:
        """A floating-point constant."""
        return self.constant(value, self.floats)

    def integers(self, values: Sequence[int]) -> str:
        """A list of integers, such as axes or a shape."""
        return self.constant([int(n) for n in values], np.dtype(np.int64))
