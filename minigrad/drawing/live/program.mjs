/* Running a program: what `Program.to_json()` writes, on arrays of arrays.mjs. */
import {arrayOf} from "./arrays.mjs";
import {CALLS, KERNELS} from "./kernels.mjs";

const NUMBERS = {nan: NaN, inf: Infinity, "-inf": -Infinity};
const number = x => (typeof x === "string" ? NUMBERS[x] : Number(x));

/** What each element of a dtype is rounded to; null where the page cannot compute in it. */
function rounding(dtype) {
  if (dtype === "float64") return x => x;
  if (dtype === "float32") return Math.fround;
  if (dtype === "bool") return x => (x ? 1 : 0);
  return /^u?int/.test(dtype) ? Math.trunc : null;
}

/** A program that can be run, or an Error that names what there is no kernel for. */
export function readProgram(plain) {
  const missing = new Set(),
    values = plain.values.map(v => ({dtype: "float64", ...v}));
  for (const v of values) if (!rounding(v.dtype)) missing.add(v.dtype);
  const decode = x => {
    if (x === null || typeof x !== "object") return x;
    const [[what, content]] = Object.entries(x);
    if (what === "value") return {value: content};
    if (what === "tuple" || what === "list") return content.map(decode);
    if (what === "slice") return {slice: content.map(decode)};
    if (what === "dict") return Object.fromEntries(content.map(([key, part]) => [key, decode(part)]));
    if (what === "ellipsis") return "...";
    if (what === "float") return NUMBERS[content];
    if (what === "array") return {...arrayOf(content.shape, content.data.map(number)), truth: content.dtype === "bool"};
    return content;
  };
  const steps = plain.instructions.map(step => {
    const run = step.kind === "op" ? KERNELS[step.op] : step.kind === "call" ? CALLS[step.call] : null;
    if (!run) missing.add(step.kind === "rule" ? `the rule of ${step.op}` : (step.op ?? step.call));
    return {run, kind: step.kind, inputs: decode(step.inputs), params: decode(step.params), outputs: step.outputs};
  });
  if (missing.size) throw new Error(`no kernel for ${[...missing].join(", ")}`);
  const given = values.map(v => (v.data ? arrayOf(v.shape, v.data.map(number)) : null));
  return {values, steps, given};
}

/**
 * Every value of a program. start: {number of a value: array} of its inputs. dtype: "float32" rounds every result to
 * that precision, where it is float64.
 */
export function runProgram(program, start, dtype = "float64") {
  const held = program.given.slice();
  const rounded = (k, array) => {
    const own = program.values[k].dtype,
      round = rounding(own === "float64" ? dtype : own);
    held[k] = own === "float64" && dtype === own ? array : {shape: array.shape, data: array.data.map(round)};
  };
  program.given.forEach((array, k) => {
    if (array) rounded(k, array);
  });
  for (const [k, array] of Object.entries(start)) rounded(+k, array);
  const get = x =>
    x !== null && typeof x === "object"
      ? x.value !== undefined
        ? masked(x.value)
        : Array.isArray(x)
          ? x.map(get)
          : x
      : x;
  const masked = k => (program.values[k].dtype === "bool" ? {...held[k], truth: true} : held[k]);
  for (const step of program.steps) {
    const inputs = step.inputs.map(get),
      params = Object.fromEntries(Object.entries(step.params).map(([name, x]) => [name, get(x)]));
    const made = step.kind === "op" ? step.run(...inputs, params) : step.run(...inputs);
    [made].flat().forEach((array, j) => rounded(step.outputs[j], array));
  }
  return held;
}
