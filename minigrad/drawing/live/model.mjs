/* What the reader has set, and what follows: the arrays of every row, forward and backward. Knows nothing of the page. */
import {arrayOf, sizeOf} from "./arrays.mjs";
import {readProgram, runProgram} from "./program.mjs";

const read = data => Float64Array.from(data, Number); /* "nan", "inf" and "-inf" are texts */
const word = x => (x === "nan" ? NaN : x === "inf" ? Infinity : x === "-inf" ? -Infinity : x);
const same = (a, b) => a.length === b.length && a.every((v, i) => Object.is(v, b[i]));

/** The largest difference between two lists of numbers, as a share of the largest of them; Infinity where one is NaN alone. */
function farApart(a, b) {
  let most = 0,
    worst = 0;
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (Number.isFinite(a[i]) && Number.isFinite(b[i])) {
      most = Math.max(most, Math.abs(a[i]), Math.abs(b[i]));
      worst = Math.max(worst, Math.abs(a[i] - b[i]));
    } else if (!Object.is(a[i], b[i])) return Infinity;
  }
  return worst / (most || 1);
}

/** Several graphs that share their leaves. Throws an Error that names what there is no kernel for. */
export function modelOf(data) {
  const set = {of: Object.keys(data.of)[0], mode: "train", eps: null, dtype: "float64"},
    leaves = new Map(),
    before = new Map();
  const all = Object.entries(data.of).flatMap(([label, modes]) =>
    Object.entries(modes).map(([mode, plain]) => prepared(plain, label, mode)),
  );
  let epsBefore = null;
  for (const v of all) v.steps = v.eps.map(([k, at]) => [v.program.steps[k], at]);
  for (const v of all) if (v.steps.length) epsBefore ??= v.steps[0][0].inputs[v.steps[0][1]];
  set.eps = epsBefore;

  /* The key of a leaf: that of an earlier graph's where it has the same numbers (or left them out), else one of its own. */
  function shared(key, label, numbers) {
    const own = numbers && read(numbers.map(word));
    for (const name of [key, `${key} of ${label}`]) {
      const known = before.get(name) ?? [];
      if (!own || own.every((x, i) => i >= known.length || Object.is(x, known[i]))) {
        if (own && own.length > known.length) before.set(name, own);
        return name;
      }
    }
    return key;
  }
  function prepared(plain, label, mode) {
    const program = readProgram(plain.program),
      rows = plain.rows ?? data.of[label].train.rows;
    const keys = new Map(); /* number of a value: key of its leaf */
    const leafRows = rows.filter(row => program.values[row.v]?.kind === "input"),
      names = leafRows.map(row => row.name);
    for (const row of leafRows) {
      const alone = names.filter(name => name === row.name).length === 1;
      keys.set(row.v, shared(`x ${row.name}${alone ? "" : ` ${row.id}`}`, label, program.values[row.v].data));
    }
    for (const [k, key] of Object.entries(plain.starts))
      keys.set(+k, shared(`g ${key}`, label, program.values[k].data));
    const byId = new Map(rows.map(row => [row.id, row]));
    return {
      ...plain,
      rows,
      label,
      mode,
      program,
      keys,
      byId,
      F: Math.max(0, ...rows.map(r => r.f)),
      B: Math.max(0, ...rows.map(r => r.b)),
    };
  }
  const find = (label, mode) => all.find(v => v.label === label && v.mode === mode);
  const variant = () => find(set.of, set.mode) ?? find(set.of, "train");
  const starts = v =>
    Object.fromEntries(
      [...v.keys].map(([k, key]) => {
        const shape = v.program.values[k].shape; /* a batch of one takes the first row */
        return [k, arrayOf(shape, leaves.get(key).slice(0, sizeOf(shape)))];
      }),
    );
  function run(v = variant(), dtype = set.dtype, given = starts(v)) {
    for (const [step, at] of v.steps) step.inputs[at] = set.eps;
    return runProgram(v.program, given, dtype);
  }
  /* Whether a leaf of this value holds floats, which may be changed. */
  const floats = (v, k) => /^float/.test(v.program.values[k].dtype);

  /** How far what is computed lies from what Python had, at most. */
  function offPython(v, held) {
    return Math.max(
      0,
      ...v.python.map(([k, data]) => farApart(held[k].data.slice(0, data.length), read(data.map(word)))),
    );
  }
  /** The result and the gradients of leaves, by name. */
  function ends(v, held) {
    const found = new Map(v.roots.map((k, i) => [`result ${i}`, held[k].data]));
    for (const row of v.rows)
      if (row.kind !== "op" && row.kind !== "kept" && row.g !== undefined) found.set(row.name, held[row.g].data);
    return found;
  }
  const apart = (one, two) =>
    Math.max(0, ...[...one].map(([name, a]) => (two.has(name) ? farApart(a, two.get(name)) : 0)));

  /** d(result 0)/d(element i of a leaf), as an array of the result's shape: a row of gradients for each of its elements. */
  let columns = null;
  function column(key, i) {
    const v = variant(),
      root = v.roots[0],
      [start] = Object.keys(v.starts),
      row = v.rows.find(r => v.keys.get(r.v) === key);
    if (start === undefined || row?.g === undefined || sizeOf(v.program.values[root].shape) > 100) return null;
    if (columns === null) {
      const given = starts(v),
        shape = v.program.values[root].shape;
      for (const k of Object.keys(v.starts)) given[k] = arrayOf(given[k].shape, new Float64Array(given[k].data.length));
      columns = Array.from({length: sizeOf(shape)}, (_, o) => {
        given[start].data.fill(0);
        given[start].data[o] = 1;
        return run(v, set.dtype, given);
      });
    }
    return arrayOf(
      v.program.values[root].shape,
      columns.map(held => held[row.g].data[i]),
    );
  }
  function reset() {
    for (const [key, data] of before) leaves.set(key, data.slice());
    Object.assign(set, {mode: "train", eps: epsBefore, dtype: "float64"});
  }
  reset();
  return {
    set,
    leaves,
    before,
    epsBefore,
    all,
    variant,
    run,
    floats,
    offPython,
    column,
    reset,
    find,
    labels: Object.keys(data.of),
    changed: () => {
      columns = null;
    },
    asRecorded: () =>
      set.eps === epsBefore && set.dtype === "float64" && [...before].every(([key, a]) => same(a, leaves.get(key))),
    /** [label, how far it is from the graph on show] for the other graphs. */
    others: held =>
      all
        .filter(v => v.mode === variant().mode && v !== variant())
        .map(v => [v.label, apart(ends(variant(), held), ends(v, run(v)))]),
    /** How far float32 is from float64: [what, share of the maximum]. */
    lost: held => {
      const truth = ends(variant(), run(variant(), "float64"));
      return [...ends(variant(), held)].map(([name, a]) => [name, farApart(a, truth.get(name))]);
    },
    /** What differs from the recording, as text for an address, and back. */
    toText: () =>
      [...before.keys()]
        .flatMap((key, k) =>
          [...leaves.get(key)].flatMap((x, i) => (Object.is(x, before.get(key)[i]) ? [] : [`${k}.${i}:${x}`])),
        )
        .join("_"),
    fromText: text => {
      const keys = [...before.keys()];
      for (const one of text ? text.split("_") : []) {
        const [, k, i, x] = /^(\d+)\.(\d+):(.+)$/.exec(one) ?? [];
        if (keys[k] !== undefined && i < before.get(keys[k]).length) leaves.get(keys[k])[i] = Number(x);
      }
    },
  };
}
