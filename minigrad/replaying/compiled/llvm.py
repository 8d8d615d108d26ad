"""Generated source as LLVM's code: the little of Python that it is written in, and nothing else.

    for i in range(n):  x[i] = ...  x[i] += ...  name = ...  if bad: return 1  return 0
    + - * / ** | comparisons, `a if c else b`, f32(x), np.sqrt(x), min(x, y), plus(x, y), gemm_f32_i64(...)

Every name has one type, that of what it is first given. Python's numbers take the type of what they meet; f32 beside
f64 becomes f64. Operations are as written, each rounded by itself (a product and a sum in one would leave a rest where
the readable code gives an exact 0); only the terms of plus() may be added in any order.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Any, cast

SIGNED = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
WIDTH = {"b8": 1, "u8": 8, **SIGNED}
CALLS = ("exp", "log", "sin", "cos", "sqrt")  # as LLVM knows them
LIBRARY = ("log1p", "expm1", "tanh", "erf")  # C's
COMPARISONS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


class Weak:
    """A number of Python's, which takes the type of what it meets."""

    def __init__(self, value: float) -> None:
        self.value = value


def module_of(ir: Any, name: str, source: str) -> Any:
    """`int32 name(int64 *T, double *R)` in a module of llvmlite's `ir`.

    It calls a function for each part of the source: LLVM takes the square of a function's length.
    """
    module, kept = ir.Module("step"), ir.IntType(32)
    emitter = Emitter(ir, module, name)
    (step,) = ast.parse(source).body
    assert isinstance(step, ast.FunctionDef)
    arrays: dict[str, Any] = {s.targets[0].id: s for s in step.body if _is_array(s)}  # type: ignore[attr-defined]
    b = emitter.b
    for k, body in enumerate(_parts(step.body[len(arrays) :])):
        part = Emitter(ir, module, f"{name}_{k}")
        part.function.linkage = "internal"
        part.function.attributes.add("noinline")
        used = {x.id for s in body for x in ast.walk(s) if isinstance(x, ast.Name)}
        part.emit([array for name, array in arrays.items() if name in used], body)
        wrong = b.call(part.function, emitter.function.args)
        with b.if_then(b.icmp_signed("!=", wrong, ir.Constant(kept, 0)), likely=False):
            b.ret(wrong)
    b.ret(ir.Constant(kept, 0))
    emitter.entry.branch(emitter.function.blocks[1])
    return module


def _parts(body: list[Any]) -> Iterator[list[Any]]:
    """Statements cut wherever no number is carried over."""
    read = [_names(s, ast.Load) for s in body]
    written = [_names(s, ast.Store) for s in body]
    carried: list[set[str]] = [set()]  # what is read from here on without being written before
    for reads, writes in zip(reversed(read), reversed(written), strict=True):
        carried.append(reads | (carried[-1] - writes))
    start, known = 0, set[str]()
    for k, later in enumerate(reversed(carried)):
        if k and not known & later:
            yield body[start:k]
            start, known = k, set()
        known |= written[k] if k < len(body) else set()


def _names(s: Any, how: Any) -> set[str]:
    """What a statement reads or writes, but for what its own loops count by."""
    nodes = list(ast.walk(s))
    counts = {x.target.id for x in nodes if isinstance(x, ast.For) and isinstance(x.target, ast.Name)}
    both = {x.target.id for x in nodes if isinstance(x, ast.AugAssign) and isinstance(x.target, ast.Name)}
    return {x.id for x in nodes if isinstance(x, ast.Name) and isinstance(x.ctx, how)} - counts | both


class Emitter:
    """Builds one function with llvmlite's `ir`."""

    def __init__(self, ir: Any, module: Any, name: str) -> None:
        self.ir, self.module = ir, module
        self.types = {"f32": ir.FloatType(), "f64": ir.DoubleType()} | {t: ir.IntType(n) for t, n in WIDTH.items()}
        kind = ir.FunctionType(ir.IntType(32), [self.types["i64"].as_pointer(), self.types["f64"].as_pointer()])
        self.function = ir.Function(self.module, kind, name)
        self.entry = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.b = ir.IRBuilder(self.function.append_basic_block("body"))
        self.names: dict[str, tuple[Any, str]] = {}  # where it is, and its type
        self.arrays: dict[str, tuple[Any, str, int]] = {}  # pointer, type, and the memory that it may share
        self.arrays["T"] = self.function.args[0], "i64", -1
        self.arrays["R"] = self.function.args[1], "f64", -2

    def emit(self, arrays: list[Any], body: list[Any]) -> None:
        """The body of the function, with the arrays that it reads and writes."""
        memories = {-1, -2} | {self._memory(s) for s in arrays}
        domain = self.module.add_metadata(["memory", self.function.name])
        self.scopes = {m: self.module.add_metadata([f"m{m}", domain]) for m in sorted(memories)}
        one = {m: self.module.add_metadata([s]) for m, s in self.scopes.items()}
        rest = {m: self.module.add_metadata([s for k, s in self.scopes.items() if k != m]) for m in self.scopes}
        self.alias = {m: (one[m], rest[m]) for m in self.scopes}
        self._block([*arrays, *body])
        if not self.b.block.is_terminated:
            self.b.ret(self.ir.Constant(self.ir.IntType(32), 0))
        self.entry.branch(self.function.blocks[1])

    # statements ---------------------------------------------------------------------------------------------

    def _memory(self, s: Any) -> int:
        return int(s.value.args[1].value)

    def _block(self, body: list[Any]) -> None:
        for s in body:
            self._statement(s)

    def _statement(self, s: Any) -> None:
        if _is_array(s):
            t = s.value.func.id.removesuffix("_at")
            address = self._as(self._of(s.value.args[0]), "i64")
            t = "u8" if t == "b8" else t
            self.arrays[s.targets[0].id] = self.b.inttoptr(address, self.types[t].as_pointer()), t, self._memory(s)
        elif isinstance(s, ast.Assign):
            self._assign(s.targets[0], self._of(s.value))
        elif isinstance(s, ast.AugAssign):
            self._assign(s.target, self._binary(type(s.op), self._of(s.target), self._of(s.value)))
        elif isinstance(s, ast.For):
            self._for(s)
        elif isinstance(s, ast.If):
            with self.b.if_then(self._as(self._of(s.test), "b8"), likely=False):
                self._block(s.body)
        elif isinstance(s, ast.Return):
            number: Any = s.value
            self.b.ret(self.ir.Constant(self.ir.IntType(32), number.value))
        else:
            self._of(s.value)

    def _assign(self, target: Any, value: Any) -> None:
        if isinstance(target, ast.Subscript):
            pointer, t, memory = self.arrays[cast("Any", target.value).id]
            place = self.b.gep(pointer, [self._as(self._of(target.slice), "i64")], inbounds=True)
            self._marked(self.b.store(self._as(value, t), place), memory)
            return
        if target.id not in self.names:
            t = value[1] if isinstance(value, tuple) else _type_of(value.value)
            self.names[target.id] = self.entry.alloca(self.types[t], name=target.id), t
        place, t = self.names[target.id]
        self.b.store(self._as(value, t), place)

    def _marked(self, made: Any, memory: int) -> Any:
        mine, others = self.alias[memory]
        made.set_metadata("alias.scope", mine)
        made.set_metadata("noalias", others)
        return made

    def _for(self, s: ast.For) -> None:
        turns, name = cast("Any", s.iter), cast("Any", s.target)
        bounds = [self._as(self._of(x), "i64") for x in turns.args]
        i64 = self.types["i64"]
        start, stop = (self.ir.Constant(i64, 0), bounds[0]) if len(bounds) == 1 else bounds[:2]
        step = bounds[2] if len(bounds) == 3 else self.ir.Constant(i64, 1)
        before, loop, after = self.b.block, self.b.append_basic_block(), self.b.append_basic_block()
        self.b.branch(loop)  # every loop has a turn
        self.b.position_at_end(loop)
        count = self.b.phi(i64)
        count.add_incoming(start, before)
        hidden, self.names[name.id] = self.names.get(name.id), (count, "number")
        self._block(s.body)
        more = self.b.add(count, step, flags=("nsw",))
        count.add_incoming(more, self.b.block)
        self.b.cbranch(self.b.icmp_signed("<", more, stop), loop, after)
        self.b.position_at_end(after)
        del self.names[name.id]
        if hidden is not None:
            self.names[name.id] = hidden

    # expressions --------------------------------------------------------------------------------------------

    def _of(self, e: Any) -> Any:
        """The value of an expression: (LLVM's, type), or Weak."""
        if isinstance(e, ast.Constant):
            return Weak(cast("float", e.value))
        if isinstance(e, ast.Name):
            place, t = self.names[e.id]
            return (place, "i64") if t == "number" else (self.b.load(place), t)
        if isinstance(e, ast.Attribute):
            return Weak(getattr(math, e.attr))  # np.inf, np.nan
        if isinstance(e, ast.Subscript):
            pointer, t, memory = self.arrays[cast("Any", e.value).id]
            place = self.b.gep(pointer, [self._as(self._of(e.slice), "i64")], inbounds=True)
            return self._marked(self.b.load(place), memory), t
        if isinstance(e, ast.BinOp):
            return self._binary(type(e.op), self._of(e.left), self._of(e.right))
        if isinstance(e, ast.Compare):
            return self._compare(COMPARISONS[type(e.ops[0])], self._of(e.left), self._of(e.comparators[0]))
        if isinstance(e, ast.BoolOp):
            x, y = (self._as(self._of(v), "b8") for v in e.values)
            return (self.b.and_ if isinstance(e.op, ast.And) else self.b.or_)(x, y), "b8"
        if isinstance(e, ast.UnaryOp):
            return self._unary(e.op, self._of(e.operand))
        if isinstance(e, ast.IfExp):
            x, y, t = self._alike(self._of(e.body), self._of(e.orelse))
            return self.b.select(self._as(self._of(e.test), "b8"), x, y), t
        return self._call(e)

    def _unary(self, op: Any, x: Any) -> Any:
        if isinstance(op, ast.Not):
            return self.b.not_(self._as(x, "b8")), "b8"
        if isinstance(x, Weak):
            return Weak(-x.value)
        return (self.b.fneg(x[0]) if x[1][0] == "f" else self.b.neg(x[0])), x[1]

    def _binary(self, op: Any, x: Any, y: Any) -> Any:
        if op is ast.BitOr:
            return self.b.or_(self._as(x, "b8"), self._as(y, "b8")), "b8"
        if isinstance(x, Weak) and isinstance(y, Weak):
            return Weak(eval(f"a {_SIGNS[op]} b", {"a": x.value, "b": y.value}))
        a, b, t = self._alike(x, y)
        if t[0] != "f" and op in (ast.Div, ast.Pow):
            a, b, t = self._as((a, t), "f64"), self._as((b, t), "f64"), "f64"
        if op is ast.Pow:
            return self.b.call(self._declared(f"llvm.pow.{t}", t, 2), [a, b]), t
        name = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}[op]
        if t[0] == "f":
            return getattr(self.b, f"f{name}")(a, b), t
        return getattr(self.b, name)(a, b), t

    def _compare(self, sign: str, x: Any, y: Any) -> Any:
        a, b, t = self._alike(x, y)
        if t[0] == "f":
            return (self.b.fcmp_unordered if sign == "!=" else self.b.fcmp_ordered)(sign, a, b), "b8"
        return (self.b.icmp_signed if t in SIGNED else self.b.icmp_unsigned)(sign, a, b), "b8"

    def _call(self, e: Any) -> Any:
        name = e.func.attr if isinstance(e.func, ast.Attribute) else e.func.id
        given = [self._of(x) for x in e.args]
        if name in self.types:
            return self._as(given[0], name), name
        if name.startswith("gemm_"):
            return self._gemm(name, [self._as(x, "i64") for x in given])
        if name == "plus":
            a, b, t = self._alike(*given)
            return self.b.fadd(a, b, flags=("reassoc",)), t
        if name == "min":
            a, b, t = self._alike(*given)
            return self.b.select(self.b.icmp_signed("<", a, b), a, b), t
        x, t = given[0] if isinstance(given[0], tuple) else (self._as(given[0], "f64"), "f64")
        if name == "abs" and t[0] != "f":
            return self.b.select(self.b.icmp_signed("<", x, self.ir.Constant(x.type, 0)), self.b.neg(x), x), t
        if name == "abs" or name in CALLS:
            return self.b.call(self._declared(f"llvm.{'fabs' if name == 'abs' else name}.{t}", t, 1), [x]), t
        assert name in LIBRARY
        return self.b.call(self._declared(name + ("f" if t == "f32" else ""), t, 1), [x]), t

    def _declared(self, name: str, t: str, count: int) -> Any:
        found = self.module.globals.get(name)
        if found is None:
            kind = self.ir.FunctionType(self.types[t], [self.types[t]] * count)
            found = self.ir.Function(self.module, kind, name)
            for attribute in ("nounwind", "readnone"):
                if not name.startswith("llvm."):
                    found.attributes.add(attribute)
        return found

    def _gemm(self, name: str, given: list[Any]) -> Any:
        """out = x @ y by cblas's gemm at an address: rows first, alpha 1, beta 0."""
        _, t, integer = name.split("_")
        size, small, place = self.types[integer], self.types["i32"], self.types["i64"]
        kinds = [small] * 3 + [size] * 3 + [self.types[t], place, size, place, size, self.types[t], place, size]
        f, *rest = given
        flags = [self.b.trunc(v, small) for v in rest[:2]]
        m, n, k, x, x_rows, y, y_rows, out, out_rows = rest[2:]
        if integer == "i32":
            m, n, k, x_rows, y_rows, out_rows = (self.b.trunc(v, size) for v in (m, n, k, x_rows, y_rows, out_rows))
        one, zero = (self.ir.Constant(self.types[t], c) for c in (1.0, 0.0))
        kind = self.ir.FunctionType(self.ir.VoidType(), kinds)
        order = self.ir.Constant(small, 101)
        all_given = [order, *flags, m, n, k, one, x, x_rows, y, y_rows, zero, out, out_rows]
        self.b.call(self.b.inttoptr(f, kind.as_pointer()), all_given)
        return Weak(0)

    # types --------------------------------------------------------------------------------------------------

    def _alike(self, x: Any, y: Any) -> tuple[Any, Any, str]:
        """Both in one type, and that."""
        if isinstance(x, Weak) and isinstance(y, Weak):
            x = self._as(x, t := "f64"), t
        t = (y if isinstance(x, Weak) else x)[1]
        other = x if isinstance(x, Weak) else y
        if isinstance(other, Weak):
            t = "f64" if t[0] != "f" and isinstance(other.value, float) else t
        elif other[1] != t:
            t = max(t, other[1], key=_RANK.index)
        return self._as(x, t), self._as(y, t), t

    def _as(self, x: Any, t: str) -> Any:
        """A value in a type."""
        kind = self.types[t]
        if isinstance(x, Weak):
            return self.ir.Constant(kind, float(x.value) if t[0] == "f" else int(x.value))
        value, was = x
        if was == t:
            return value
        if t == "b8":
            zero = self.ir.Constant(value.type, 0)
            return self.b.fcmp_unordered("!=", value, zero) if was[0] == "f" else self.b.icmp_signed("!=", value, zero)
        if was[0] == t[0] == "f":
            return (self.b.fpext if t == "f64" else self.b.fptrunc)(value, kind)
        if was[0] == "f":
            return self.b.fptosi(value, kind)
        if t[0] == "f":
            return (self.b.sitofp if was in SIGNED else self.b.uitofp)(value, kind)
        if WIDTH[was] < WIDTH[t]:
            return (self.b.sext if was in SIGNED else self.b.zext)(value, kind)
        return value if WIDTH[was] == WIDTH[t] else self.b.trunc(value, kind)


_RANK = ("b8", "u8", "i8", "i16", "i32", "i64", "f32", "f64")
_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}


def _is_array(s: Any) -> bool:
    """Whether a statement is `x = f32_at(T[0], 3)`."""
    called = s.value.func if isinstance(s, ast.Assign) and isinstance(s.value, ast.Call) else None
    return isinstance(called, ast.Name) and called.id.endswith("_at")


def _type_of(x: Any) -> str:
    return "b8" if isinstance(x, bool) else "i64" if isinstance(x, int) else "f64"
