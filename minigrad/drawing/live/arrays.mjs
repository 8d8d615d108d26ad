/* Arrays as {shape, data}: data is a Float64Array in reading order; booleans are 0 and 1. Broadcasting, axes, indexing. */

/** How many elements an array of this shape has. */
export function sizeOf(shape) {
  return shape.reduce((a, b) => a * b, 1);
}

/** An array; `data` anything that can be listed. */
export function arrayOf(shape, data) {
  return {shape, data: data instanceof Float64Array ? data : Float64Array.from(data)};
}

/** A number as an array without axes; an array as it is. */
export function asArray(x) {
  return typeof x === "object" && x !== null && x.shape ? x : arrayOf([], [Number(x)]);
}

/** The shape that arrays of these shapes broadcast to. */
export function broadcastShape(...shapes) {
  const axes = Math.max(...shapes.map(s => s.length)),
    out = Array(axes).fill(1);
  for (const shape of shapes)
    shape.forEach((n, k) => {
      const at = axes - shape.length + k;
      if (n !== 1 && out[at] !== 1 && out[at] !== n)
        throw new Error(`shapes ${shapes.map(s => `(${s})`).join(" and ")} do not broadcast`);
      if (n !== 1) out[at] = n;
    });
  return out;
}

/** Elements from one to the next along each axis. */
export function stridesOf(shape) {
  const out = Array(shape.length);
  for (let k = shape.length - 1, n = 1; k >= 0; n *= shape[k--]) out[k] = n;
  return out;
}

/** For each element of an array of `shape`, in reading order, start + the sum of index * stride. */
export function offsets(shape, strides, start = 0) {
  const out = new Int32Array(sizeOf(shape)),
    at = Array(shape.length).fill(0);
  for (let i = 0, o = start; i < out.length; i++) {
    out[i] = o;
    for (let k = shape.length - 1; k >= 0; k--) {
      o += strides[k];
      if (++at[k] < shape[k]) break;
      o -= strides[k] * shape[k];
      at[k] = 0;
    }
  }
  return out;
}

/** x[places]: an array of `shape` with the elements of x that stand at these offsets. */
export function take(x, shape, places) {
  return {shape, data: Float64Array.from(places, o => x.data[o])};
}

/** x stretched to `shape`. */
export function stretched(x, shape) {
  if (sizeOf(shape) === x.data.length && shape.length === x.shape.length) return x;
  const before = shape.length - x.shape.length,
    own = stridesOf(x.shape);
  return take(
    x,
    shape,
    offsets(
      shape,
      shape.map((_, k) => (k < before || x.shape[k - before] === 1 ? 0 : own[k - before])),
    ),
  );
}

/** f of each element, of several arrays that broadcast. */
export function elementwise(f, ...given) {
  const arrays = given.map(asArray),
    shape = broadcastShape(...arrays.map(a => a.shape));
  const [a, b, c] = arrays.map(x => stretched(x, shape).data),
    data = new Float64Array(sizeOf(shape));
  if (c) for (let i = 0; i < data.length; i++) data[i] = f(a[i], b[i], c[i]);
  else if (b) for (let i = 0; i < data.length; i++) data[i] = f(a[i], b[i]);
  else for (let i = 0; i < data.length; i++) data[i] = f(a[i]);
  return {shape, data};
}

/** An axis counted from the front. */
export function axisOf(axis, axes) {
  return axis < 0 ? axis + axes : axis;
}

/** The axes that `axis` names: all for null, one for a number. */
export function axesOf(axis, axes) {
  if (axis === null || axis === undefined) return [...Array(axes).keys()];
  return [axis].flat().map(k => axisOf(k, axes));
}

/** f of the elements that `axis` gathers, in order, for each place that is left. */
export function reduced(f, x, axis, keepdims) {
  const over = axesOf(axis, x.shape.length),
    own = stridesOf(x.shape),
    kept = [...x.shape.keys()].filter(k => !over.includes(k));
  const pick = (from, axes) => axes.map(k => from[k]);
  const inner = offsets(pick(x.shape, over), pick(own, over)),
    part = new Float64Array(inner.length);
  const data = Float64Array.from(offsets(pick(x.shape, kept), pick(own, kept)), start => {
    for (let i = 0; i < part.length; i++) part[i] = x.data[start + inner[i]];
    return f(part);
  });
  return {shape: keepdims ? x.shape.map((n, k) => (over.includes(k) ? 1 : n)) : pick(x.shape, kept), data};
}

/** The offset of every element, as an array of that shape: what is done to it says where elements go. */
export function places(shape) {
  return {shape, data: Float64Array.from({length: sizeOf(shape)}, (_, i) => i)};
}

/** x[index]: whole numbers, slices, null (a new axis), "..." and arrays of positions or of truth values. */
export function indexed(x, index) {
  const given = (Array.isArray(index) ? index : [index]).flatMap(part => (part?.truth ? found(part) : [part]));
  const named = given.filter(part => part !== null && part !== "...").length,
    rest = x.shape.length - named;
  const dots = given.indexOf("...");
  const all = [
    ...given.slice(0, dots < 0 ? given.length : dots),
    ...Array(rest).fill({slice: [null, null, null]}),
    ...given.slice(dots < 0 ? given.length : dots + 1),
  ];
  const own = stridesOf(x.shape),
    fancy = all.some(part => part?.shape),
    picked = [],
    shape = [],
    strides = [];
  let axis = 0,
    start = 0,
    first = -1,
    apart = false;
  all.forEach((part, at) => {
    if (part === null) {
      shape.push(1);
      strides.push(0);
      return;
    }
    const n = x.shape[axis],
      stride = own[axis++];
    if (part.slice) {
      const [from, step, length] = sliced(part.slice, n);
      start += from * stride;
      shape.push(length);
      strides.push(step * stride);
    } else if (fancy) {
      /* a number among arrays is an array, too */
      if (first < 0) first = shape.length;
      else if (picked.at(-1).at !== at - 1) apart = true;
      picked.push({at, stride, part: elementwise(i => within(i, n), part)});
    } else start += within(part, n) * stride;
  });
  if (!fancy) return take(x, shape, offsets(shape, strides, start));
  const wide = broadcastShape(...picked.map(p => p.part.shape)),
    before = apart ? 0 : first,
    jumps = new Float64Array(sizeOf(wide));
  for (const {stride, part} of picked)
    stretched(part, wide).data.forEach((i, k) => {
      jumps[k] += i * stride;
    });
  const head = shape.slice(0, before),
    tail = shape.slice(before);
  const ahead = offsets(head, strides.slice(0, before), start),
    behind = offsets(tail, strides.slice(before));
  const out = [];
  for (const a of ahead) for (const j of jumps) for (const b of behind) out.push(a + j + b);
  return take(x, [...head, ...wide, ...tail], out);
}

/** Where an array of truth values holds: positions along each of its axes. */
function found(mask) {
  if (!mask.shape.length) throw new Error("an index that is one truth value");
  const at = [...mask.data.keys()].filter(i => mask.data[i]),
    own = stridesOf(mask.shape);
  return mask.shape.map((n, k) =>
    arrayOf(
      [at.length],
      at.map(i => Math.floor(i / own[k]) % n),
    ),
  );
}

function within(i, n) {
  if (i < -n || i >= n) throw new Error(`index ${i} is out of an axis of length ${n}`);
  return i < 0 ? i + n : i;
}

/** Where a slice starts, its step, and how many it takes, as Python has it. */
function sliced([from, to, by], n) {
  const step = by ?? 1,
    low = step < 0 ? -1 : 0,
    high = step < 0 ? n - 1 : n;
  const bound = (i, otherwise) => (i === null ? otherwise : Math.min(high, Math.max(low, i < 0 ? i + n : i)));
  const a = bound(from, step < 0 ? high : low),
    b = bound(to, step < 0 ? low : high);
  return [a, step, Math.max(0, Math.ceil((b - a) / step))];
}
