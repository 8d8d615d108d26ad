"""PyTorch models as functions of Tensors: what torch.export writes down of a module, op by op. See `from_torch`."""

from __future__ import annotations

import copy
import inspect
import logging
import operator
import re
import warnings
from typing import Any

import numpy as np

from .._support.extras import needs
from ..core.tensor import Tensor
from .imported import Imported, Out, Reading, Ref, Step, checked
from .torch_ops import ELEMENTWISE, OTHERS, layers


def from_torch(module: Any, *args: Any, batch_norm: str = "composed", check: bool = True) -> Imported:
    """A PyTorch module as a minigrad function `f(*inputs)`, to draw, check, compare and differentiate.

    `args` are example inputs, nested as the module takes them. The module is read by `torch.export` in its mode (train
    or eval), and copied: it does not change, and f does not follow it. `f.leaves` are the parameters by their names in
    the state dict, tied ones once, and the example inputs that require a gradient; modules are scopes. Buffers are
    constants: running statistics are used and never updated. `f()` is f of the example inputs.

    batch_norm: "composed" of primitives, or "fused" into one. check: results and gradients are compared with PyTorch's
    own at the example inputs. NotImplementedError names ops that are not known, where they are and those that are;
    ValueError where torch.export cannot read the module, or its gradients are not those of its forward. Needs torch.

        f = mg.from_torch(model, torch.randn(8, 3))
        mg.draw(f(), depth=1)
        mg.grad(f(x).sum(), list(f.leaves.values()))
    """
    return _FromTorch(module, args, {**OTHERS, **layers(batch_norm)}, check)


class _FromTorch(Imported):
    who = "from_torch"

    def __init__(self, module: Any, args: tuple[Any, ...], others: dict[str, Any], check: bool) -> None:
        self._torch = torch = needs("torch", "mg.from_torch", extra="")
        self._export = needs("torch.export", "mg.from_torch", extra="")
        self._tree = needs("torch.utils._pytree", "mg.from_torch", extra="")
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"from_torch: expected a torch.nn.Module, got {type(module).__name__}")
        self._module, self._others, self._opened = copy.deepcopy(module), others, set[str]()
        self._placeholders: list[str] = []
        self.__signature__ = inspect.signature(module.forward)  # names for pictures and programs
        held = {
            name: Tensor(_array(x), requires_grad=x.requires_grad, name=name)
            for name, x in (*self._module.named_parameters(), *self._module.named_buffers())
        }
        super().__init__(type(module).__name__, args, held, self._tree.tree_flatten, self._tree.tree_unflatten, check)

    def _names(self) -> list[str]:
        return self._placeholders

    def _leaf(self, x: Any) -> Any:
        if isinstance(x, self._torch.Tensor):
            return Tensor(_array(x), requires_grad=x.requires_grad)
        return Tensor(x) if isinstance(x, np.ndarray) else x

    def _open(self, op: str) -> bool:
        new = op not in self._opened
        self._opened.add(op)
        return new

    def _entry(self, target: Any) -> Any:
        """(function, is it elementwise) of an op, or None."""
        if target is operator.getitem:
            return (lambda out, values, k: values[k]), False
        name = str(target).removeprefix("aten.")  # add.Tensor
        for key in (name, name.partition(".")[0]):
            for table in (ELEMENTWISE, self._others):
                if key in table:
                    return table[key], table is ELEMENTWISE
        return None

    def _read(self, leaves: list[Any], structure: Any) -> Reading:
        given = [self._torch.tensor(np.array(x._array)) if isinstance(x, Tensor) else x for x in leaves]
        before = logging.root.manager.disable
        logging.disable()  # what fails is told below, in one line
        try:
            with warnings.catch_warnings(), self._torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")
                exported = self._export.export(self._module, tuple(self._unflatten(given, structure)))
                table = self._export.default_decompositions()
                opens = [op for op in table if str(op) in self._opened or self._entry(op) is None]
                exported = exported.run_decompositions({op: table[op] for op in opens})
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"from_torch: torch.export cannot read {self.name}: {type(error).__name__}: {said}"
            ) from error
        finally:
            logging.disable(before)
        return self._reading(exported)

    def _reading(self, exported: Any) -> Reading:
        returned = [s.arg for s in exported.graph_signature.output_specs if s.kind.name == "USER_OUTPUT"]
        results = [Ref(r.name) if type(r).__name__ == "TensorArgument" else getattr(r, "value", None) for r in returned]
        steps = [self._step(n) for n in exported.graph.nodes if n.op not in ("placeholder", "output")]
        first = {id(x): name for name, x in self._module.named_parameters()}
        every = dict(self._module.named_parameters(remove_duplicate=False))
        values = {n.name: n.meta.get("val") for n in exported.graph.nodes if n.op == "placeholder"}
        slots: list[Any] = []
        constants: dict[str, Any] = {}
        names: list[str] = []
        for spec in exported.graph_signature.input_specs:
            name, target = spec.arg.name, spec.target
            if spec.kind.name == "USER_INPUT":
                out = self._out(values.get(name))
                slots.append(out and (name, out))
                names.append(name)
            elif target in self._held or target in every:
                constants[name] = self._held[first.get(id(every.get(target)), target)]
            else:
                constants[name] = Tensor(_array(exported.constants[target]), name=target)
        self._placeholders = self._placeholders or names
        return Reading(
            slots,
            constants,
            checked("from_torch", steps, results, {*ELEMENTWISE, *self._others}),
            results,
            lambda found: self._unflatten(found, exported.call_spec.out_spec),
        )

    def _step(self, node: Any) -> Step:
        call, elementwise = self._entry(node.target) or (None, False)
        inputs, params = list(node.args), dict(node.kwargs)
        for k, argument in enumerate(getattr(getattr(node.target, "_schema", None), "arguments", ())):
            if not argument.kwarg_only and k >= len(inputs):
                inputs.append(params.pop(argument.name, argument.default_value))
        stack = (node.meta.get("nn_module_stack") or {}).items()
        scopes = tuple((key, path.rpartition(".")[2]) for key, (path, _) in stack if path)
        out = self._out(node.meta.get("val"))
        refs = [_argument(x) for x in inputs]
        options = {name: _argument(x) for name, x in params.items()}
        return Step(node.name, str(node.target), call, elementwise, tuple(refs), options, out, scopes, _place(node))

    def _out(self, value: Any) -> Out | None:
        if not isinstance(value, self._torch.Tensor):
            return None
        return Out(tuple(map(int, value.shape)), _dtype(value))

    def _theirs(self, leaves: list[Any], structure: Any, weights: list[Any]) -> list[Any]:
        torch = self._torch

        def theirs(x: Any) -> Any:
            return torch.tensor(np.array(x._array), requires_grad=x._needs) if isinstance(x, Tensor) else x

        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            given = [theirs(x) for x in leaves]
            state = {name: theirs(x) for name, x in self._held.items()}
            args = tuple(self._unflatten(given, structure))
            results = torch.func.functional_call(self._module, state, args, tie_weights=True)
            found = [y for y in self._tree.tree_flatten(results)[0] if isinstance(y, torch.Tensor)]
            parts = [(y * torch.tensor(c)).sum() for y, c in zip(found, weights, strict=True) if y.requires_grad]
            targets = [x for x in (*given, *state.values()) if getattr(x, "requires_grad", False)]
            options = {"allow_unused": True, "materialize_grads": True}
            slopes = torch.autograd.grad(sum(parts), targets, **options) if parts else map(torch.zeros_like, targets)
        return [_array(y) for y in (*found, *slopes)]


def _dtype(x: Any) -> np.dtype[Any]:
    name = str(x.dtype).removeprefix("torch.")
    if not re.fullmatch(r"(u?int|float)\d+|bool", name):
        raise ValueError(
            f"from_torch: dtype {name} is not one of NumPy's real numbers; convert with .to(torch.float32)"
        )
    return np.dtype(name)


def _array(x: Any) -> np.ndarray[Any, Any]:
    _dtype(x)
    if x.device.type != "cpu":
        raise ValueError(f"from_torch: a tensor on {x.device}; call .cpu() first")
    return np.array(x.detach().numpy())


def _argument(x: Any) -> Any:
    """An argument with Refs for nodes; dtypes, devices and layouts mean nothing here."""
    if isinstance(x, (list, tuple)):
        return [_argument(part) for part in x]
    if type(x).__name__ == "Node":
        return Ref(x.name)
    return None if type(x).__module__.startswith("torch") else x


def _place(node: Any) -> str:
    """The module of a node, and the innermost line that is not PyTorch's own."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    kind = str(getattr(kind, "__name__", kind)).rpartition(".")[2]
    frames = re.findall(r'File "(.+?)", line (\d+)', node.meta.get("stack_trace") or "")
    own = [f", {file}:{line}" for file, line in frames if "/torch/" not in file.replace("\\", "/")]
    return f"in {f'{path}, ' if path else ''}{kind}{own[-1] if own else ''}"
