"""A program as JSON, and back. What comes in is checked before anything is made of it: only primitives of the table and
functions of `calls.py` are named, every array has the size that it says, every value is made before it is used.

Arrays are lists of numbers; NaN and infinities, for which JSON has no word, are the texts "nan", "inf" and "-inf".
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

import numpy as np

from ..core.nodes import Node, registry
from .calls import CALLS
from .program import Instruction, Program, Value, substitute, values_in
from .recording import Pull
from .running import compute

FORMAT = "minigrad program 1"
DTYPES = (
    "float16",
    "float32",
    "float64",
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
LARGEST = 10_000_000  # elements of one array
DEEPEST = 20  # nesting of tuples and dicts


def to_json(program: Program, indent: int | None = None) -> str:
    """The program as JSON. TypeError for what is no data: a user's primitive, a random draw, an update."""
    numbers = {value: k for k, value in enumerate(program.values())}
    wanted = set(program.tensors())
    plain = {
        "format": FORMAT,
        "values": [_value_out(v, v.kind in ("constant", "tensor") or v in wanted) for v in numbers],
        "inputs": [numbers[v] for v in program.inputs],
        "cotangents": [numbers[v] for v in program.cotangents],
        "instructions": [_instruction_out(i, numbers) for i in program.instructions],
        "returns": _out(program.template, numbers, "what it returns"),
        "gradients": [[numbers[v], numbers[d]] for v, d in program.gradients.items()],
    }
    return json.dumps(plain, indent=indent, allow_nan=False)


def _value_out(v: Value, with_array: bool) -> dict[str, Any]:
    array = v.source._array if v.kind == "tensor" else v.array
    out: dict[str, Any] = {"kind": v.kind, "shape": list(array.shape), "dtype": array.dtype.name}
    if v.name:
        out["name"] = v.name
    if with_array:
        out["data"] = [_number_out(x) for x in array.ravel().tolist()]
    return out


def _number_out(x: Any) -> Any:
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x


def _instruction_out(i: Instruction, numbers: dict[Value, int]) -> dict[str, Any]:
    out: dict[str, Any] = {"kind": i.kind, "name": i.name}
    if i.kind in ("op", "rule"):
        op: Any = i.op
        if not op.builtin or op.name not in registry or registry[op.name].op is not op:
            raise TypeError(f"{i.name} is a primitive of your own: its Python is no data, and JSON cannot hold it")
        out["op"] = op.name
        if i.kind == "rule":
            out["saved"], out["wanted"] = i.function.saved, list(i.function.wanted)
    elif i.kind == "call" and i.function in CALLS:
        out["call"] = CALLS[i.function]
    else:
        raise TypeError(f"{i.name} is Python ({i.kind}) and no data, and JSON cannot hold it")
    out["inputs"] = _out(i.inputs, numbers, f"an input of {i.name}")
    out["params"] = _out(i.params, numbers, f"a parameter of {i.name}")
    out["outputs"] = [numbers[v] for v in i.outputs]
    if i.backward:
        out["backward"] = True
    if i.scope:
        out["scope"] = list(i.scope)
    return out


def _out(x: Any, numbers: dict[Value, int], what: str) -> Any:
    """Anything in an instruction: numbers and texts as they are, everything else as {"what it is": ...}."""
    if isinstance(x, Value):
        return {"value": numbers[x]}
    if isinstance(x, (tuple, list)):
        return {type(x).__name__ if type(x) in (tuple, list) else "tuple": [_out(part, numbers, what) for part in x]}
    if isinstance(x, dict):
        return {"dict": [[str(key), _out(part, numbers, what)] for key, part in x.items()]}
    if isinstance(x, slice):
        return {"slice": [_out(part, numbers, what) for part in (x.start, x.stop, x.step)]}
    if x is Ellipsis:
        return {"ellipsis": True}
    if isinstance(x, (np.dtype, type)):
        return {"dtype": np.dtype(x).name}
    if isinstance(x, (np.ndarray, np.generic)):
        array = np.asarray(x)
        data = [_number_out(part) for part in array.ravel().tolist()]
        return {"array": {"shape": list(array.shape), "dtype": array.dtype.name, "data": data}}
    if isinstance(x, float) and not math.isfinite(x):
        return {"float": str(x)}
    if x is None or isinstance(x, (bool, int, float, str)):
        return x
    if isinstance(x, Node):
        raise TypeError(f"{what} is a tensor that the program writes to, and JSON cannot hold that")
    raise TypeError(f"{what} is {type(x).__name__}, and JSON cannot hold it")


# --------------------------------------------------------------------------------------------------------------
# Back


def from_json(text: str) -> Program:
    """The program that `to_json` wrote. ValueError, naming the place, for anything else."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a program's JSON cannot be read: {error}") from None
    _need(isinstance(plain, dict) and plain.get("format") == FORMAT, "format", f"expected {FORMAT!r}")
    values = [_value_in(v, f"values[{k}]", k) for k, v in enumerate(_list(plain, "values"))]
    known = {v for v in values if v.kind != "made"}
    inputs = _values(plain, "inputs", values)
    cotangents = _values(plain, "cotangents", values)
    _need(len(set(inputs)) == len(inputs) and all(v.kind == "input" for v in inputs), "inputs", "expected input values")
    _need({v for v in values if v.kind == "input"} == set(inputs), "inputs", "expected every input value, once")
    _need(list(cotangents) == inputs[len(inputs) - len(cotangents) :], "cotangents", "expected the last inputs")
    steps = []
    for k, plain_step in enumerate(_list(plain, "instructions")):
        step = _instruction_in(plain_step, f"instructions[{k}]", values)
        for v in step.used():
            _need(v in known, f"instructions[{k}]", f"value {v.number} is used before it is made")
        for v in step.outputs:
            _need(
                v.kind == "made" and v not in known, f"instructions[{k}].outputs", f"value {v.number} is there already"
            )
            known.add(v)
        steps.append(step)
    template = _in(plain.get("returns"), "returns", values)
    gradients = {}
    for k, pair in enumerate(_list(plain, "gradients")):
        place = f"gradients[{k}]"
        _need(isinstance(pair, list) and len(pair) == 2, place, "expected two numbers of values")
        of, slope = (_pick(number, place, values) for number in pair)
        _need(of.shape == slope.shape, place, f"a gradient of shape {slope.shape} of a value of shape {of.shape}")
        gradients[of] = slope
    program = Program(steps, inputs, template, gradients, tuple(cotangents))
    for v in program.wanted():
        _need(v in known, "returns", f"value {v.number} is never made")
    _compute_once(program)
    return program.numbered()


@np.errstate(all="ignore")
def _compute_once(program: Program) -> None:
    """Each instruction on arrays as they are declared: what a program says of its values is then true."""
    for k, i in enumerate(program.instructions):
        if any(v.kind == "made" and v.dtype == bool for v in values_in(i.params)):
            continue  # how many elements a mask picks depends on the numbers
        try:
            found = compute(i, *(substitute(x, lambda v: v.array) for x in (i.inputs, i.params)))
            told = [(x.shape, x.dtype.name) for x in map(np.asarray, found)]
        except Exception as error:  # whatever NumPy and Python say of it
            _refuse(f"instructions[{k}]", f"{i.name} cannot be computed from what it is given: {error}")
        declared = [(v.shape, v.dtype.name) for v in i.outputs]
        _need(told == declared, f"instructions[{k}].outputs", f"{i.name} gives {told}, not {declared}")


def _need(right: Any, place: str, what: str) -> None:
    if not right:
        _refuse(place, what)


def _refuse(place: str, what: str) -> NoReturn:
    raise ValueError(f"a program's JSON is damaged at {place}: {what}")


def _list(plain: dict[str, Any], name: str) -> list[Any]:
    found = plain.get(name)
    if not isinstance(found, list):
        _refuse(name, "expected a list")
    return found


def _pick(number: Any, place: str, values: list[Value]) -> Value:
    if type(number) is not int or not 0 <= number < len(values):
        _refuse(place, f"{number!r} is no number of a value; there are {len(values)}")
    return values[number]


def _values(plain: dict[str, Any], name: str, values: list[Value]) -> list[Value]:
    return [_pick(number, f"{name}[{k}]", values) for k, number in enumerate(_list(plain, name))]


def _value_in(plain: Any, place: str, number: int) -> Value:
    _need(isinstance(plain, dict), place, "expected an object")
    kind, name = plain.get("kind"), plain.get("name")
    _need(kind in ("input", "tensor", "constant", "made"), f"{place}.kind", f"{kind!r} is no kind of value")
    _need(name is None or isinstance(name, str), f"{place}.name", "expected a text")
    array = _array_in(plain, place, kind in ("tensor", "constant"))
    # a tensor from outside has no outside any more: its values came along
    if kind == "tensor":
        from ..core.tensor import Tensor

        leaf: Any = Tensor(array, requires_grad=array.dtype.kind == "f", name=name)
        return Value(number, kind, leaf._array, leaf, name)
    return Value(number, kind, array, number if kind == "input" else None, name)


def _array_in(plain: Any, place: str, with_data: bool) -> np.ndarray[Any, Any]:
    shape, dtype = plain.get("shape"), plain.get("dtype")
    sizes = isinstance(shape, list) and all(type(n) is int and 0 <= n <= LARGEST for n in shape) and len(shape) <= 32
    _need(sizes and math.prod(shape) <= LARGEST, f"{place}.shape", f"{shape!r} is no shape")
    _need(dtype in DTYPES, f"{place}.dtype", f"{dtype!r} is none of {', '.join(DTYPES)}")
    if not with_data:
        return np.broadcast_to(np.zeros((), dtype), shape)
    data = plain.get("data")
    _need(
        isinstance(data, list) and len(data) == math.prod(shape),
        f"{place}.data",
        f"expected {math.prod(shape)} numbers",
    )
    numbers = [_number_in(x, f"{place}.data[{k}]") for k, x in enumerate(data)]
    try:
        return np.array(numbers, dtype).reshape(shape)
    except (OverflowError, ValueError, TypeError) as error:
        _refuse(f"{place}.data", f"not numbers of dtype {dtype}: {error}")


def _number_in(x: Any, place: str) -> Any:
    if x in ("nan", "inf", "-inf"):
        return float(x)
    _need(isinstance(x, (int, float)), place, f"{x!r} is no number")
    return x


def _instruction_in(plain: Any, place: str, values: list[Value]) -> Instruction:
    _need(isinstance(plain, dict), place, "expected an object")
    kind, name, scope = plain.get("kind"), plain.get("name"), plain.get("scope", [])
    _need(isinstance(name, str), f"{place}.name", "expected a text")
    _need(
        isinstance(scope, list) and all(isinstance(x, str) for x in scope), f"{place}.scope", "expected a list of texts"
    )
    inputs, params = (
        _in(plain.get("inputs"), f"{place}.inputs", values),
        _in(plain.get("params"), f"{place}.params", values),
    )
    _need(type(inputs) is tuple and type(params) is dict, f"{place}.inputs", "expected a tuple, and params a dict")
    outputs = tuple(_values({"outputs": plain.get("outputs")}, "outputs", values))
    more: dict[str, Any] = {"backward": plain.get("backward") is True, "scope": tuple(scope)}
    if kind == "call":
        calls = {text: function for function, text in CALLS.items()}
        called = plain.get("call")
        if not isinstance(called, str) or called not in calls:
            _refuse(f"{place}.call", f"{called!r} is none of {', '.join(calls)}")
        return Instruction("call", name, calls[called], inputs, params, outputs, **more)
    op = _op_in(plain.get("op"), f"{place}.op")
    _fitting(op, inputs, params, kind, place)
    if kind == "op":
        return Instruction("op", op.name, op.kernel, inputs, params, outputs, op=op, **more)
    _need(kind == "rule", f"{place}.kind", f"{kind!r} is no kind of instruction")
    saved, wanted = plain.get("saved"), plain.get("wanted")
    _need(type(saved) is int and 0 <= saved <= len(inputs), f"{place}.saved", f"{saved!r} is no count of saved values")
    right = isinstance(wanted, list) and all(type(k) is int and 0 <= k < len(inputs) for k in wanted)
    _need(right and len(wanted) == len(outputs), f"{place}.wanted", f"{wanted!r} are no positions of inputs")
    return Instruction("rule", name, Pull(op, saved, tuple(wanted)), inputs, params, outputs, op=op, **more)


def _op_in(name: Any, place: str) -> Any:
    if not isinstance(name, str) or name not in registry:
        _refuse(place, f"{name!r} is no primitive of minigrad")
    return registry[name].op


def _fitting(op: Any, inputs: tuple[Any, ...], params: dict[str, Any], kind: Any, place: str) -> None:
    _need(params.keys() == op.defaults.keys(), f"{place}.params", f"{op.name} takes {', '.join(op.defaults) or 'none'}")
    if kind == "op" and not op.variadic:
        _need(len(inputs) == len(op.input_names), f"{place}.inputs", f"{op.name} takes {', '.join(op.input_names)}")


def _in(x: Any, place: str, values: list[Value], depth: int = 0) -> Any:
    _need(depth < DEEPEST, place, "nested too deep")
    if x is None or isinstance(x, (bool, int, float, str)):
        return x
    if not isinstance(x, dict) or len(x) != 1:
        _refuse(place, "expected a number, a text, or an object with one key")
    ((what, content),) = x.items()
    if what == "value":
        return _pick(content, place, values)
    if what in ("tuple", "list", "slice") and isinstance(content, list):
        parts = [_in(part, f"{place}[{k}]", values, depth + 1) for k, part in enumerate(content)]
        if what == "slice":
            right = len(parts) == 3 and all(part is None or type(part) is int for part in parts)
            _need(right, place, "a slice has three whole numbers")
            return slice(*parts)
        return tuple(parts) if what == "tuple" else parts
    if what == "dict" and isinstance(content, list):
        pairs = all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in content)
        _need(pairs, place, "expected pairs of a text and something")
        return {key: _in(part, f"{place}.{key}", values, depth + 1) for key, part in content}
    if what == "ellipsis":
        return Ellipsis
    if what == "dtype":
        _need(content in DTYPES, place, f"{content!r} is none of {', '.join(DTYPES)}")
        return np.dtype(content)
    if what == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    if what == "array" and isinstance(content, dict):
        return _array_in(content, place, True)
    _refuse(place, f"{what!r} is nothing that a program holds")
