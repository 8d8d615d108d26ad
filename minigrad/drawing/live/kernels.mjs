/* The primitives of minigrad on arrays of arrays.mjs: `KERNELS[name](...inputs, params)`, the same values as the NumPy
   functions in minigrad/ops give. Their rules are not here: a recorded backward is made of the same primitives. */
import {
  arrayOf,
  asArray,
  axesOf,
  axisOf,
  broadcastShape,
  elementwise,
  indexed,
  offsets,
  places,
  reduced,
  sizeOf,
  stretched,
  stridesOf,
  take,
} from "./arrays.mjs";

const each =
  f =>
  (...given) =>
    elementwise(f, ...given.slice(0, -1)); /* the last argument holds parameters */
const truth = f => each((a, b) => (f(a, b) ? 1 : 0));

/* NaN on either side is the result, as in NumPy: Math.max does so, too */
const sigmoid = x => {
  const e = Math.exp(-Math.abs(x));
  return (x >= 0 ? 1 : e) / (1 + e);
};
const power = (x, y) => (x === 1 || y === 0 ? 1 : x === -1 && Math.abs(y) === Infinity ? 1 : x ** y);

/** The error function: a series without cancellation, far out the continued fraction of 1 - erf. */
function erf(x) {
  const a = Math.abs(x);
  if (!(a < 6)) return Number.isNaN(x) ? x : Math.sign(x);
  const scale = (Math.exp(-a * a) * 2) / Math.sqrt(Math.PI);
  if (a < 2.5) {
    let term = a,
      sum = a;
    for (let n = 1; term > sum * 1e-17; n++) {
      term *= (2 * a * a) / (2 * n + 1);
      sum += term;
    }
    return Math.sign(x) * scale * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - scale / 2 / (a + fraction));
}

/** Pairs are added first, as NumPy does: the error does not grow with the number of elements. */
function total(v, from = 0, to = v.length) {
  if (to - from > 64) {
    const half = (from + to) >> 1;
    return total(v, from, half) + total(v, half, to);
  }
  let sum = 0;
  for (let i = from; i < to; i++) sum += v[i];
  return sum;
}
const mean = v => total(v) / (v.length || NaN);
const centred = v => {
  const m = mean(v);
  return v.map(x => x - m);
};
const freedom = (v, ddof) => (v.length > ddof ? v.length - ddof : NaN);
const variance = (v, ddof) => total(centred(v).map(x => x * x)) / freedom(v, ddof);
const largest = v => v.reduce((a, b) => Math.max(a, b), -Infinity),
  smallest = v => v.reduce((a, b) => Math.min(a, b), Infinity);
function logsumexp(v) {
  const top = v.some(Number.isNaN) ? NaN : largest(v),
    shift = Number.isFinite(top) ? top : 0;
  return Math.log(total(v.map(x => Math.exp(x - shift)))) + shift;
}
/** The first of the best, or of NaN. */
const best = beats => v => {
  let at = 0;
  for (let i = 1; i < v.length && !Number.isNaN(v[at]); i++) if (Number.isNaN(v[i]) || beats(v[i], v[at])) at = i;
  return at;
};
const reduction =
  f =>
  (x, {axis, keepdims, ...more}) =>
    reduced(v => f(v, more), asArray(x), axis, keepdims);

/** The same elements in another shape; one -1 is worked out. */
function reshaped(x, shape) {
  const wanted = [shape].flat(),
    known = -wanted.reduce((a, b) => a * b, 1);
  return {shape: wanted.map(n => (n < 0 ? x.data.length / known : n)), data: x.data};
}
function transposed(x, axes) {
  const order = axes === null ? [...x.shape.keys()].reverse() : axes.map(k => axisOf(k, x.shape.length)),
    own = stridesOf(x.shape);
  const shape = order.map(k => x.shape[k]);
  return take(
    x,
    shape,
    offsets(
      shape,
      order.map(k => own[k]),
    ),
  );
}
function flipped(x, axis) {
  const over = axesOf(axis, x.shape.length),
    own = stridesOf(x.shape);
  const start = over.reduce((sum, k) => sum + own[k] * (x.shape[k] - 1), 0);
  return x.data.length
    ? take(
        x,
        x.shape,
        offsets(
          x.shape,
          own.map((s, k) => (over.includes(k) ? -s : s)),
          start,
        ),
      )
    : x;
}
function rolled(x, shift, axis) {
  if (axis === null)
    return {
      shape: x.shape,
      data: rolled(
        {shape: [x.data.length], data: x.data},
        [shift].flat().reduce((a, b) => a + b, 0),
        0,
      ).data,
    };
  const axes = [axis].flat(),
    shifts = [shift].flat();
  return axes.reduce((y, k, i) => {
    const at = axisOf(k, y.shape.length),
      n = y.shape[at],
      by = shifts[shifts.length > 1 ? i : 0];
    const own = stridesOf(y.shape)[at],
      move = o => {
        const j = Math.floor(o / own) % n;
        return o + (((((j - by) % n) + n) % n) - j) * own;
      };
    return take(y, y.shape, places(y.shape).data.map(move));
  }, x);
}
function joined(arrays, axis) {
  const parts = axis === null ? arrays.map(a => ({shape: [a.data.length], data: a.data})) : arrays;
  const at = axisOf(axis ?? 0, parts[0].shape.length),
    shape = [...parts[0].shape];
  shape[at] = parts.reduce((sum, a) => sum + a.shape[at], 0);
  const out = arrayOf(shape, new Float64Array(sizeOf(shape))),
    own = stridesOf(shape);
  let start = 0;
  for (const a of parts) {
    offsets(a.shape, own, start).forEach((o, i) => {
      out.data[o] = a.data[i];
    });
    start += own[at] * a.shape[at];
  }
  return out;
}
const widened = (x, axis) => {
  const axes = [axis].flat(),
    n = x.shape.length + axes.length,
    at = axes.map(k => axisOf(k, n)),
    rest = [...x.shape];
  return {shape: Array.from({length: n}, (_, k) => (at.includes(k) ? 1 : rest.shift())), data: x.data};
};
const squeezed = (x, axis) => {
  const gone = axis === null ? null : axesOf(axis, x.shape.length);
  return {shape: x.shape.filter((n, k) => (gone ? !gone.includes(k) : n !== 1)), data: x.data};
};

/** Sums of products by subscripts with their output written out, such as "ij,jk->ik". */
function contracted(operands, subscripts) {
  const [terms, result] = subscripts.split("->"),
    names = terms.split(","),
    sizes = {};
  names.forEach((name, k) =>
    [...name].forEach((c, i) => {
      if (!(c in sizes) || sizes[c] === 1) sizes[c] = operands[k].shape[i];
    }),
  );
  const outer = [...result],
    inner = Object.keys(sizes).filter(c => !result.includes(c)),
    shape = outer.map(c => sizes[c]);
  const jumps = letters =>
    operands.map((x, k) => {
      const own = stridesOf(x.shape),
        strides = letters.map(c => [...names[k]].reduce((s, d, i) => s + (d === c && x.shape[i] > 1 ? own[i] : 0), 0));
      return offsets(
        letters.map(c => sizes[c]),
        strides,
      );
    });
  const starts = jumps(outer),
    steps = jumps(inner),
    data = new Float64Array(sizeOf(shape)),
    n = steps.length ? steps[0].length : 1;
  for (let i = 0; i < data.length; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) {
      let product = 1;
      for (let k = 0; k < operands.length; k++) product *= operands[k].data[starts[k][i] + steps[k][j]];
      sum += product;
    }
    data[i] = sum;
  }
  return {shape, data};
}
function product(x, y) {
  const a = x.shape.length > 1 ? x : widened(x, 0),
    b = y.shape.length > 1 ? y : widened(y, 1);
  const [n, k] = a.shape.slice(-2),
    m = b.shape.at(-1),
    wide = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const left = stretched(a, [...wide, n, k]).data,
    right = stretched(b, [...wide, k, m]).data,
    data = new Float64Array(sizeOf(wide) * n * m);
  for (let at = 0, l = 0, r = 0; at < data.length; at += n * m, l += n * k, r += k * m)
    for (let i = 0; i < n; i++)
      for (let j = 0; j < m; j++) {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += left[l + i * k + p] * right[r + p * m + j];
        data[at + i * m + j] = sum;
      }
  return {shape: [...wide, ...(x.shape.length > 1 ? [n] : []), ...(y.shape.length > 1 ? [m] : [])], data};
}
function added(x, index, shape) {
  const at = indexed(places(shape), index),
    out = arrayOf(shape, new Float64Array(sizeOf(shape))),
    all = stretched(asArray(x), at.shape);
  at.data.forEach((o, i) => {
    out.data[o] += all.data[i];
  });
  return out;
}

export const KERNELS = {
  add: each((x, y) => x + y),
  sub: each((x, y) => x - y),
  mul: each((x, y) => x * y),
  div: each((x, y) => x / y),
  neg: each(x => -x),
  pow: each(power),
  exp: each(Math.exp),
  log: each(Math.log),
  log1p: each(Math.log1p),
  expm1: each(Math.expm1),
  sqrt: each(Math.sqrt),
  square: each(x => x * x),
  abs: each(Math.abs),
  sin: each(Math.sin),
  cos: each(Math.cos),
  tanh: each(Math.tanh),
  sigmoid: each(sigmoid),
  softplus: each(x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  relu: each(x => Math.max(x, 0)),
  leaky_relu: (x, {slope}) => elementwise(v => (v > 0 ? v : v * slope), x),
  erf: each(erf),
  gelu: each(x => x * 0.5 * (1 + erf(x * Math.SQRT1_2))),
  silu: each(x => x * sigmoid(x)),
  maximum: each(Math.max),
  minimum: each(Math.min),
  where: each((condition, x, y) => (condition ? x : y)),
  clip: (x, {low, high}) => {
    const y = low === null ? asArray(x) : elementwise(Math.max, x, low);
    return high === null ? y : elementwise(Math.min, y, high);
  },
  equal: truth((x, y) => x === y),
  not_equal: truth((x, y) => x !== y),
  less: truth((x, y) => x < y),
  less_equal: truth((x, y) => x <= y),
  greater: truth((x, y) => x > y),
  greater_equal: truth((x, y) => x >= y),
  logical_and: truth((x, y) => x && y),
  logical_or: truth((x, y) => x || y),
  logical_not: truth(x => !x),
  isnan: truth(Number.isNaN),
  sign: each(Math.sign),

  sum: reduction(v => total(v)),
  mean: reduction(mean),
  prod: reduction(v => v.reduce((a, b) => a * b, 1)),
  var: reduction((v, {ddof}) => variance(v, ddof)),
  std: reduction((v, {ddof}) => Math.sqrt(variance(centred(v), ddof))),
  max: reduction(largest),
  min: reduction(smallest),
  logsumexp: reduction(logsumexp),
  argmax: reduction(best((a, b) => a > b)),
  argmin: reduction(best((a, b) => a < b)),
  cumsum: (x, {axis}) => {
    const flat = axis === null ? reshaped(asArray(x), -1) : x,
      out = arrayOf(flat.shape, flat.data.slice()),
      at = axisOf(axis ?? 0, flat.shape.length);
    const step = stridesOf(flat.shape)[at];
    out.data.forEach((_, i) => {
      if (Math.floor(i / step) % flat.shape[at]) out.data[i] += out.data[i - step];
    });
    return out;
  },

  reshape: (x, {shape}) => reshaped(asArray(x), shape),
  transpose: (x, {axes}) => transposed(x, axes),
  swapaxes: (x, {axis1, axis2}) => {
    const order = [...x.shape.keys()],
      a = axisOf(axis1, order.length),
      b = axisOf(axis2, order.length);
    [order[a], order[b]] = [order[b], order[a]];
    return transposed(x, order);
  },
  expand_dims: (x, {axis}) => widened(asArray(x), axis),
  squeeze: (x, {axis}) => squeezed(x, axis),
  broadcast_to: (x, {shape}) => stretched(asArray(x), [shape].flat()),
  astype: x => asArray(x),
  flip: (x, {axis}) => flipped(x, axis),
  roll: (x, {shift, axis}) => rolled(x, shift, axis),
  concatenate: (...given) => joined(given.slice(0, -1).map(asArray), given.at(-1).axis),
  stack: (...given) =>
    joined(
      given.slice(0, -1).map(x => widened(asArray(x), given.at(-1).axis)),
      given.at(-1).axis,
    ),
  getitem: (x, {index}) => indexed(asArray(x), index),
  put: (x, {index, shape}) => added(x, index, shape),
  matmul: (x, y) => product(x, y),
  einsum: (...given) => contracted(given.slice(0, -1), given.at(-1).subscripts),
};

/* Functions without a gradient that a program may call. */
export const CALLS = {
  less_equal: (x, y) => elementwise((a, b) => (a <= b ? 1 : 0), x, y),
  ravel: x => reshaped(asArray(x), -1),
  largest: (x, axis) => elementwise(v => (Number.isFinite(v) ? v : 0), reduced(largest, x, axis, true)),
  class_numbers: (who, labels) => reshaped(labels, -1),
  in_range: () => [],
  one_hot: (labels, classes) =>
    arrayOf(
      [labels.data.length, classes],
      Array.from(labels.data).flatMap(k => Array.from({length: classes}, (_, j) => (j === k ? 1 : 0))),
    ),
  first_row: (x, axis) =>
    indexed(
      x,
      x.shape.map((_, k) => ({slice: axis.includes(k) ? [0, 1, null] : [null, null, null]})),
    ),
};
