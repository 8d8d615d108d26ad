"""PyTorch models as functions of Tensors: what torch.export writes down of a module, op by op. See `from_torch`."""

from __future__ import annotations

import copy
import functools
import inspect
import operator
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..core.nodes import raw
from ..core.tensor import Tensor
from .imported import Imported, Program, Ref, Scopes, Step, array_of, library, refuse_unknown
from .shared_ops import Entry, Out
from .torch_layers import LAYERS, normalizations
from .torch_ops import TABLE

DETACHED = "minigrad: no gradient"  # a note on nodes of PyTorch's graph, under which decompositions keep it
ASSERTIONS = re.compile(r"_assert|sym_constrain")


def from_torch(
    module: Any, *args: Any, batch_norm: str = "composed", layer_norm: str = "composed", check: bool = True
) -> Imported:
    """A PyTorch module (or function) as a minigrad function `f(*inputs)`, to draw, check, compare and differentiate.

    args are example inputs: torch tensors, nested as the module takes them; shapes are read from them. The module is
    read by `torch.export`, in the mode (train or eval) that it is in, and copied: it does not change, and f does not
    follow it. `f.parameters` are Tensors by their names in the state dict, with requires_grad as there; tied
    parameters are one. Modules are scopes. Buffers are constants: running statistics are used and never updated.
    `f()` is f of the example inputs, which are in `f.inputs`; inputs of other shapes are read anew.

    batch_norm, layer_norm: "composed" (a graph of primitives) or "fused" (one primitive); layer_norm also serves
    group and instance norm. check: results and gradients are compared with PyTorch's own at the example inputs.

    NotImplementedError names ops that are not known, and where they are; ValueError where torch.export cannot read
    the module, or its gradients are not those of its forward. Needs the package torch.

        f = mg.from_torch(model, torch.randn(8, 3))
        y = f()                       # or f(mg.tensor(...))
        mg.draw(y, depth=1)
        mg.grad(y.sum(), list(f.parameters.values()))
    """
    table = TABLE | LAYERS | normalizations(batch_norm, layer_norm)
    return _FromTorch(module, args, table, check)


class _FromTorch(Imported):
    """See `from_torch`."""

    who = "from_torch"

    def __init__(self, module: Any, args: tuple[Any, ...], table: dict[str, Entry], check: bool) -> None:
        self._torch = library("torch", "mg.from_torch")
        self._export = library("torch.export", "mg.from_torch")
        self._tree = library("torch.utils._pytree", "mg.from_torch")
        super().__init__(getattr(module, "__name__", type(module).__name__), check)
        self._table, self._module = table, _as_module(self._torch, module)
        self._input_names: list[str] = []
        self.parameters = {
            name: Tensor(_numbers(p), requires_grad=p.requires_grad, name=name)
            for name, p in self._module.named_parameters()
        }
        self._buffers = {name: Tensor(_numbers(b), name=name) for name, b in self._module.named_buffers()}
        leaves, structure = self._flat(args)
        leaves = [
            Tensor(_numbers(x), requires_grad=x.requires_grad) if isinstance(x, self._torch.Tensor) else x
            for x in leaves
        ]
        self.inputs = self._tree.tree_unflatten(leaves, structure)
        self(*self.inputs)  # whatever is not known is said now
        for x, name in zip(leaves, self._input_names, strict=True):
            if isinstance(x, Tensor):
                x.named(name)

    def _flat(self, inputs: Any) -> tuple[list[Any], Any]:
        leaves, structure = self._tree.tree_flatten(inputs)
        return list(leaves), structure

    def _names(self, structure: Any) -> list[str]:
        names = self._input_names
        return names if len(names) == structure.num_leaves else [f"input{k}" for k in range(structure.num_leaves)]

    def _array(self, x: Any) -> np.ndarray[Any, Any] | None:
        if isinstance(x, self._torch.Tensor):
            return _numbers(x)
        return x if isinstance(x, np.ndarray) else None

    # reading -----------------------------------------------------------------------------------------------

    def _read(self, leaves: list[Any], structure: Any) -> Program:
        torch = self._torch
        given = [torch.tensor(array_of(x)) if isinstance(x, Tensor) else x for x in leaves]
        with _undisturbed(torch):
            try:
                exported = self._export.export(self._module, tuple(self._tree.tree_unflatten(given, structure)))
                _note_no_grad(exported.graph_module)
                exported = exported.run_decompositions(_decompositions(self._export, frozenset(self._table)))
            except Exception as error:
                said = str(error).strip().partition("\n")[0]
                raise ValueError(
                    f"from_torch: torch.export cannot read {self.name}: {type(error).__name__}: {said}"
                ) from error
        return self._program(exported)

    def _program(self, exported: Any) -> Program:
        signature, constants = exported.graph_signature, self._constants(exported)
        nodes = [n for n in exported.graph.nodes if n.op not in ("placeholder", "output")]
        results = [spec.arg for spec in signature.output_specs if spec.kind.name == "USER_OUTPUT"]
        needed = {getattr(r, "name", None) for r in results}
        for node in reversed(nodes):
            if node.name in needed:
                needed.update(n.name for n in node.all_input_nodes)
        nodes = [n for n in nodes if n.name in needed]
        refuse_unknown("from_torch", ((str(n.target), _place(n)) for n in nodes if self._entry(n) is None), self._table)
        slots: list[Any] = []
        placeholders = {n.name: n for n in exported.graph.nodes if n.op == "placeholder"}
        user = [spec.arg for spec in signature.input_specs if spec.kind.name == "USER_INPUT"]
        for arg in user:
            value = placeholders[arg.name].meta.get("val") if arg.name in placeholders else None
            tensor = isinstance(value, self._torch.Tensor)
            slots.append((arg.name, _out(value)) if tensor else None)
        self._input_names = self._input_names or [arg.name for arg in user]
        return Program(
            slots,
            constants,
            [self._step(n) for n in nodes],
            [Ref(r.name) if type(r).__name__ == "TensorArgument" else getattr(r, "value", None) for r in results],
            lambda found: self._tree.tree_unflatten(found, exported.call_spec.out_spec),
        )

    def _constants(self, exported: Any) -> dict[str, Any]:
        """What the placeholders other than inputs stand for."""
        tensors = dict(self._module.named_parameters(remove_duplicate=False))
        first = {id(p): name for name, p in self._module.named_parameters()}
        given: dict[str, Any] = {}
        for spec in exported.graph_signature.input_specs:
            kind, target = spec.kind.name, spec.target
            if kind == "PARAMETER":
                given[spec.arg.name] = self.parameters[first[id(tensors[target])]]
            elif kind == "BUFFER":
                given[spec.arg.name] = self._buffers[target]
            elif kind == "CONSTANT_TENSOR":
                given[spec.arg.name] = Tensor(_numbers(exported.constants[target]), name=target)
        return given

    def _entry(self, node: Any) -> Entry | None:
        if node.target is operator.getitem:
            return lambda out, values, k: values[k]
        name = str(node.target)  # such as aten.add.Tensor
        library_name, _, rest = name.partition(".")
        if node.op != "call_function" or library_name != "aten":
            return None
        if ASSERTIONS.search(rest):
            return lambda out, *args, **options: None
        return self._table.get(rest) or self._table.get(rest.partition(".")[0])

    def _step(self, node: Any) -> Step:
        entry = self._entry(node)
        assert entry is not None
        inputs, params = list(node.args), dict(node.kwargs)
        for k, argument in enumerate(getattr(getattr(node.target, "_schema", None), "arguments", ())):
            if not argument.kwarg_only and k >= len(inputs):
                inputs.append(params.pop(argument.name, argument.default_value))
        if (node.meta.get("custom") or {}).get(DETACHED):
            entry = _detached(entry)
        value = node.meta.get("val")
        return Step(
            node.name,
            entry,
            tuple(map(_argument, inputs)),
            {name: _argument(x) for name, x in params.items()},
            _out(value) if isinstance(value, self._torch.Tensor) else None,
            str(node.target),
            _scopes(node),
            _line(node),
            _place(node),
        )

    # PyTorch's own numbers ---------------------------------------------------------------------------------

    def _theirs(self, leaves: list[Any], structure: Any, weigh: Callable[[list[Any]], list[Any]]) -> Any:
        torch = self._torch

        def tensor(x: Any) -> Any:
            return torch.tensor(array_of(x)).requires_grad_(x._needs) if isinstance(x, Tensor) else x

        with _undisturbed(torch), torch.enable_grad():
            given = [tensor(x) for x in leaves]
            state = {name: tensor(x) for name, x in {**self.parameters, **self._buffers}.items()}
            targets = [x for x in (*given, *(state[n] for n in self.parameters)) if getattr(x, "requires_grad", False)]
            args = tuple(self._tree.tree_unflatten(given, structure))
            # in-place changes of inputs would be refused on leaves
            results = torch.func.functional_call(self._module, state, args)
            found = [y for y in self._tree.tree_flatten(results)[0] if isinstance(y, torch.Tensor)]
            values = [_numbers(y) for y in found]
            parts = [
                (y * torch.tensor(c)).sum().double()
                for y, c in zip(found, weigh(values), strict=True)
                if y.requires_grad
            ]
            slopes = torch.autograd.grad(sum(parts), targets, allow_unused=True) if parts and targets else ()
        slopes = slopes or (None,) * len(targets)
        return values, [
            np.zeros(tuple(x.shape), _dtype(x.dtype)) if d is None else _numbers(d)
            for x, d in zip(targets, slopes, strict=True)
        ]


@contextmanager
def _undisturbed(torch: Any) -> Iterator[None]:
    """PyTorch's random state stays, and what torch.export says of itself is not the user's concern."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _as_module(torch: Any, module: Any) -> Any:
    """A copy of a module; a method or a function as a module with the parameters that it uses."""
    Module = torch.nn.Module
    if isinstance(module, Module):
        return _copied(module)
    owner = getattr(module, "__self__", None)
    if isinstance(owner, Module):
        owner = _copied(owner)
        owner.__class__ = type(type(owner).__name__, (type(owner),), {"forward": module.__func__})
        return owner
    if not callable(module):
        raise TypeError(f"from_torch: expected a torch.nn.Module or a function, got {type(module).__name__}")

    class Function(Module):  # type: ignore[misc]
        def forward(self, *inputs: Any) -> Any:
            return module(*inputs)

    function = Function()
    try:
        seen = inspect.getclosurevars(module)
        around = {**seen.globals, **seen.nonlocals}
    except TypeError:
        around = {}
    for name, value in around.items():
        if isinstance(value, Module):
            function.add_module(name, value)
    return function


def _copied(module: Any) -> Any:
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise ValueError(f"from_torch: {type(module).__name__} cannot be copied: {error}") from error


@functools.cache
def _decompositions(export: Any, known: frozenset[str]) -> dict[Any, Any]:
    """How torch opens the ops that are not known here into those of its core."""
    table = export.default_decompositions()

    def name(op: Any) -> str:
        return str(op).removeprefix("aten.")

    return {op: table[op] for op in table if not {name(op), name(op).partition(".")[0]} & known}


def _note_no_grad(graph_module: Any) -> None:
    """Mark what has no gradient: detach() and results of no_grad blocks, which decompositions do not keep apart."""
    graph = graph_module.graph
    for node in list(graph.nodes):
        if node.op == "get_attr" and hasattr(getattr(graph_module, str(node.target), None), "graph"):
            _note_no_grad(getattr(graph_module, node.target))
        if node.op != "call_function":
            continue
        if "detach" in str(node.target):
            node.meta["custom"] = {**(node.meta.get("custom") or {}), DETACHED: True}
        if "set_grad_enabled" in str(node.target) and not node.args[0]:
            for result in list(node.users):
                with graph.inserting_after(result):
                    import torch

                    cut = graph.call_function(torch.ops.aten.detach.default, (result,))
                cut.meta = {**result.meta, "custom": {DETACHED: True}}
                result.replace_all_uses_with(cut, delete_user_cb=lambda user, cut=cut: user is not cut)
    graph_module.recompile()


def _detached(entry: Entry) -> Entry:
    def call(out: Any, *inputs: Any, **params: Any) -> Any:
        value = entry(out, *inputs, **params)
        return value.detach() if isinstance(value, Tensor) else value

    return call


# --------------------------------------------------------------------------------------------------------------
# What PyTorch's nodes say


def _dtype(dtype: Any) -> Any:
    name = str(dtype).removeprefix("torch.")
    try:
        found = np.dtype(name)
    except TypeError:
        found = np.dtype(object)
    if found.kind not in "fiub":
        raise ValueError(f"from_torch: dtype {name} is not one of NumPy's real numbers; convert with .to(torch.float32)")
    return found


def _numbers(x: Any) -> np.ndarray[Any, Any]:
    """A torch tensor's numbers, copied."""
    _dtype(x.dtype)
    if x.device.type != "cpu" or x.layout != type(x.layout) and str(x.layout) != "torch.strided":
        raise ValueError(f"from_torch: a tensor on {x.device} of layout {x.layout}; expected a dense one on the CPU")
    return np.array(x.detach().numpy())


def _out(value: Any) -> Out:
    return Out(tuple(int(n) for n in value.shape), _dtype(value.dtype))


def _argument(x: Any) -> Any:
    """An argument with Refs for nodes; what says where and how memory lies means nothing here."""
    if isinstance(x, (list, tuple)):
        return [_argument(part) for part in x]
    if type(x).__name__ == "Node":
        return Ref(x.name)
    return None if type(x).__module__.startswith("torch") else x


def _scopes(node: Any) -> Scopes:
    """Modules around a node, each by its name in the one around it."""
    found, before = [], ""
    for key, (path, _) in (node.meta.get("nn_module_stack") or {}).items():
        if path:
            found.append((key, path.removeprefix(f"{before}.")))
            before = path
    return tuple(found)


FRAME = re.compile(r'File "(?P<file>.+?)", line (?P<line>\d+)')


def _line(node: Any) -> tuple[str, int] | None:
    """Where the user's model calls the op: the innermost line that is not PyTorch's own."""
    frames = [(m["file"], int(m["line"])) for m in FRAME.finditer(node.meta.get("stack_trace") or "")]
    own = [frame for frame in frames if "/torch/" not in frame[0].replace("\\", "/")]
    return (own or frames)[-1] if frames else None


def _place(node: Any) -> str:
    """The module and the line of a node, for messages."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    kind = str(getattr(kind, "__name__", kind)).rpartition(".")[2]
    line = _line(node)
    where = f"in {path}, {kind}" if path else f"in {kind}" if kind else "in the function"
    return where + (f", {line[0]}:{line[1]}" if line else "")
