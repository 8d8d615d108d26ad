/* The ladder as the page's first view: rows of values and gradients that are computed here, and may be changed. */
import {arrayOf} from "./arrays.mjs";
import {element, heatOf, indexOf, peakOf} from "./heat.mjs";
import {modelOf} from "./model.mjs";

const NS = "http://www.w3.org/2000/svg";
const SMALLEST = -13;  /* of eps, as a power of ten; one below it is 0 */
const few = x => (x === 0 ? "0" : Number.isFinite(x) ? x.toExponential(0).replace("e+0", "").replace("+", "") : "a NaN");
const plainly = x => (x === 0 || (x >= 1e-3 && x < 1e4) ? String(Number(x.toPrecision(3))) : x.toExponential(2).replace(/\.?0+e/, "e").replace("+", ""));

/**
 * The view: `home` is where it stands, `panel` where it tells more, `changed()` is called when the address or the
 * status has become another. Throws an Error that names what there is no kernel for.
 */
export function liveLadder(data, home, panel, changed) {
  const model = modelOf(data), {set} = model, at = {t: 0, stepped: false, picked: null, pointed: null, why: ""};
  const bar = element("div", "bar"), said = element("p", "off"), why = element("p", "why"), rows = element("div", "rows"), arcs = document.createElementNS(NS, "svg");
  let shown = null, held = null, cells = null, timer = 0;
  home.append(bar, said, why, rows);
  arcs.setAttribute("aria-hidden", "true");
  arcs.setAttribute("class", "arcs");

  /* ---- what stands above the rows ---- */
  const button = (text, action) => { const b = element("button", "", text); b.type = "button"; b.onclick = action; return b; };
  const choice = (name, texts, pick) => {
    const group = element("div", "grp");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", name);
    const all = texts.map(text => { const b = button(text, () => pick(text)); group.append(b); return [text, b]; });
    return {group, mark: (now, may = () => true) => all.forEach(([text, b]) => { b.setAttribute("aria-pressed", text === now); b.disabled = !may(text); })};
  };
  const graphs = choice("Graph", model.labels, label => other(() => { set.of = label; }));
  const modes = choice("Mode", ["train", "eval"], mode => other(() => { set.mode = mode; at.why = ""; }));
  const slider = Object.assign(document.createElement("input"), {type: "range", min: SMALLEST, max: 1, step: 0.1});
  const epsilon = element("label", "eps", "eps "), epsilonSaid = element("output");
  const breaks = document.createElement("select");
  const back = button("As recorded", () => other(() => { const {of} = set; model.reset(); set.of = of; at.why = ""; }));
  if (model.labels.length > 1) bar.append(graphs.group);
  if (model.all.some(v => v.mode === "eval")) bar.append(modes.group);
  if (set.eps !== null) { slider.setAttribute("aria-label", "eps, as a power of ten"); epsilon.append(slider, epsilonSaid); bar.append(epsilon); }
  if (data.presets.length) {
    breaks.setAttribute("aria-label", "What breaks it");
    breaks.append(new Option("What breaks it ...", ""), ...data.presets.map((p, k) => new Option(p.name, k)));
    bar.append(breaks);
  }
  bar.append(back);
  slider.oninput = () => { const power = +slider.value; set.eps = power <= SMALLEST ? 0 : Number((10 ** power).toPrecision(3)); refresh(); };
  slider.onkeydown = e => e.stopPropagation();
  breaks.onkeydown = e => e.stopPropagation();
  breaks.onchange = () => { if (breaks.value !== "") other(() => preset(data.presets[+breaks.value])); breaks.value = ""; };
  /* Another graph is on show: where all steps were done, all of its are. */
  function other(change) {
    const done = at.t >= shown.F + shown.B;
    change();
    refresh();
    changed(done);
  }
  function preset(p) {
    const label = set.of;
    model.reset();
    for (const [name, numbers] of Object.entries(p.set ?? {})) model.leaves.set(`x ${name}`, Float64Array.from(numbers));
    Object.assign(set, {of: label, mode: p.mode ?? "train", eps: p.eps ?? set.eps, dtype: p.dtype ?? "float64"});
    at.why = `${p.name}: ${p.why}`;
  }

  /* ---- rows ---- */
  const nameOf = (v, id) => v.byId.get(id)?.name ?? id;
  function givenFor(v, row) {  /* the cotangent that stands at a result: number of its value */
    const ends = v.rows.filter(r => r.root && r.g !== undefined), k = ends.indexOf(row);
    return k < 0 ? undefined : Object.keys(v.starts).find(n => v.starts[n] === `d${k}`);
  }
  function build(v) {
    rows.replaceChildren(arcs);
    rows.style.setProperty("--wide", Math.max(2, ...v.rows.map(row => Math.min(6, shapeOf(v, row).at(-1) ?? 1))));
    rows.append(element("div", "row head", element("span", "", "forward, down"), element("span", "", "value"), element("span", "mid", "kept"), element("span", "up", "gradient, up: read from below")));
    cells = v.rows.map((row, k) => {
      const who = button(row.name, () => { at.picked = row.id; changed(); });
      who.className = "who";
      const leaf = row.kind !== "op" && row.kind !== "kept", key = v.keys.get(row.v), shape = shapeOf(v, row);
      const name = element("div", "nm", who, element("small", "", row.root && !leaf ? " output" : leaf ? ` ${row.kind}` : ""));
      const made = element("code", "", row.expr ? (row.kind === "kept" ? row.expr : `= ${row.expr}`) : "");
      if (row.expr && row.expr !== row.name) name.append(made);
      if (row.where) name.append(element("small", "where", row.where));
      const value = heatOf(shape, row.name, leaf && key && model.floats(v, row.v) ? key : "");
      const kept = element("div", row.kept ? "sv" : "sv no", row.kept ?? "");
      const {figures, el} = sentTo(v, row);
      const about = element("small", "shape", `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`);
      const drawn = element("div", `row ${leaf ? "leaf" : row.kind}`, name, element("div", "val", about, value.el), kept, el);
      drawn.dataset.row = row.id;
      rows.append(drawn);
      return {row, k, el: drawn, value, figures, made, text: `${row.name} ${row.op ?? ""} ${row.kind} ${row.expr ?? ""} ${row.where ?? ""}`.toLowerCase()};
    });
    shown = v;
  }
  const shapeOf = (v, row) => (row.v === undefined ? row.held.shape : v.program.values[row.v].shape);
  function sentTo(v, row) {
    const el = element("div", "gr"), figures = [], start = row.root && row.g !== undefined ? givenFor(v, row) : undefined;
    const figure = (caption, k, sign, more) => {
      const heat = heatOf(v.program.values[k].shape, more.edit ? `dL/d${row.name}` : `gradient of ${row.name}`, more.edit ?? ""), f = element("div", "sent", element("div", "cap", caption), heat.el);
      el.append(sign ? element("div", "term", element("i", "", sign), f) : f);
      if (more.from) Object.assign(f.dataset, {from: more.from, to: row.id});
      figures.push({el: f, heat, k, ...more});
    };
    if (row.g === undefined) {
      if (row.kind !== "kept") el.append(element("small", "", v.B ? `none${row.kind === "op" ? "" : `: ${row.kind}`}` : v.notes?.[0] ?? "no gradient: give gradient= in Python"));
      return {el, figures};
    }
    const parts = [...(row.parts ?? []).map(([from, , rule, k]) => [`${nameOf(v, from)}: ${rule}`, k, {from}]), ...(start === undefined ? [] : [["given: dL/d" + row.name, +start, {edit: v.keys.get(+start)}]])];
    parts.forEach(([caption, k, more], j) => figure(caption, k, j ? "+" : "", more));
    if (parts.length !== 1) figure("sum", row.g, parts.length ? "=" : "", {sum: true});
    return {el, figures};
  }

  /* ---- numbers ---- */
  function refresh() {
    const v = model.variant();
    if (!held || shown !== v) build(v);
    const before = performance.now();
    model.changed();
    held = model.run(v);
    const took = performance.now() - before;
    for (const {row, value, figures, made} of cells) {
      const array = row.v === undefined ? arrayOf(row.held.shape, row.held.data.map(Number)) : held[row.v];
      value.show(array, peakOf([array]));
      const peak = peakOf(figures.map(f => held[f.k]));
      for (const f of figures) f.heat.show(held[f.k], peak);
      if (row.eps) made.textContent = `= ${row.expr.replace(/[\d.e-]+$/, plainly(set.eps))}`;
    }
    tell(v, took);
    graphs.mark(set.of);
    modes.mark(v.mode, mode => model.modes().includes(mode));
    if (set.eps !== null) { slider.value = set.eps === 0 ? SMALLEST : Math.log10(set.eps); epsilonSaid.textContent = plainly(set.eps); slider.setAttribute("aria-valuetext", plainly(set.eps)); }
    breaks.hidden = set.mode === "eval";
    why.textContent = at.why;
    why.hidden = !at.why;
    more();
    lines();
    clearTimeout(timer);
    timer = setTimeout(changed, 150);
  }
  function tell(v, took) {
    const fresh = model.asRecorded(), words = [`Computed here, forward${v.B ? " and backward" : ""}, in ${took.toFixed(1)} ms.`];
    const off = fresh && v.python.length ? model.offPython(v, held) : null;
    if (off !== null) words.push(off ? `Largest difference from Python's numbers: ${few(off)} of an array's maximum.` : "Every number is Python's, to the last bit.");
    else if (v.mode === "one") words.push("The first row alone.");
    else words.push("Changed: these are no longer Python's numbers.");
    for (const [label, far] of model.others(held)) words.push(`${label} gives the same ${far ? `to ${few(far)}` : "exactly"}.`);
    if (set.dtype !== "float64") words.push(`In ${set.dtype}, against float64: ${model.lost(held).map(([name, far]) => `${/^result/.test(name) ? "the result" : `d_${name}`} is off by ${few(far)}`).join(", ")}.`);
    said.textContent = words.join(" ");
    said.classList.toggle("bad", off !== null && !(off < 1e-9));
  }

  /* ---- steps: what is there by now ---- */
  function step() {
    const v = shown, f = Math.min(at.t, v.F), b = Math.max(0, at.t - v.F), back = b > 0;
    let active = null;
    for (const {row, el, value, figures} of cells) {
      const now = row.kind === "op" && at.stepped && at.t > 0 && (back ? row.b === b : row.f === f && f > 0);
      if (now) active = row;
      const have = f >= row.f, made = parted => { const from = v.byId.get(parted.from); return from.b > 0 && b >= from.b; };
      el.classList.toggle("later", !have);
      el.classList.toggle("act", now);
      value.el.classList.toggle("hid", !have);
      const parts = figures.filter(g => g.from), ready = f >= v.F && parts.every(made);
      for (const g of figures) {
        const there = g.from ? made(g) : ready;
        g.el.classList.toggle("hid", !there);
        g.el.classList.toggle("hot", !!g.from && back && at.stepped && v.byId.get(g.from).b === b);
      }
    }
    return active;
  }
  function status(active) {
    const v = shown, f = Math.min(at.t, v.F), b = Math.max(0, at.t - v.F);
    if (!active) return v.notes?.[0] ?? (at.t ? "All steps are shown. Left arrow: one step back." : "Start: leaves are given. Right arrow: next step.");
    if (!b) return `forward ${f}/${v.F}  ${active.name} = ${active.expr}`;
    return `backward ${b}/${v.B}  ${active.op}: ${sends(active).map(({row, rule}) => `${row.name}.grad += ${rule}`).join("  ;  ")}`;
  }
  const sends = row => shown.rows.flatMap(r => (r.parts ?? []).filter(p => p[0] === row.id).map(([, , rule, k]) => ({row: r, rule, k})));

  /* ---- the panel: a column of the Jacobian, and one row ---- */
  function more() {
    panel.replaceChildren();
    const parts = [];
    if (at.pointed) parts.push(...jacobian(...at.pointed));
    const row = shown.byId.get(at.picked);
    if (row) parts.push(...about(row));
    panel.classList.toggle("told", parts.length > 0);
    if (!parts.length) parts.push(element("h2", "", "Change a number"), ...[
      "Drag a number with a dotted edge, up or to the right; or focus it and use the arrow keys (up and down change it, Page up and down by ten times as much, left and right go to the next, Enter takes another number).",
      "Everything is computed again here, forward and backward. The address keeps what was changed.",
      "Point at a number of a leaf: how the result moves with it. Point at a row or at a gradient: where it comes from."].map(text => element("p", "", text)));
    panel.append(...parts);
  }
  function jacobian(key, i) {
    const row = shown.rows.find(r => shown.keys.get(r.v) === key), result = shown.rows.find(r => r.root), column = row && result && model.column(key, i);
    if (!column) return [];
    const shape = shapeOf(shown, row), name = shape.length ? `${row.name}[${indexOf(i, shape)}]` : row.name, heat = heatOf(column.shape, `d ${result.name} / d ${name}`);
    heat.show(column, peakOf([column]));
    const still = column.data.filter(x => x === 0).length;
    return [element("h2", "", `d ${result.name} / d ${name}`), element("p", "", `How ${result.name} moves where ${name} grows, for each unit: a column of the Jacobian.${still ? ` ${still} of ${column.data.length} do not move.` : ""}`), heat.el];
  }
  function about(row) {
    const sent = sends(row), found = [element("h2", "", row.name)];
    if (row.op) found.push(element("div", "fx", `${row.name} = ${row.expr}`));
    if (row.formula && row.formula !== row.expr) found.push(element("div", "fx", `= ${row.formula}`));
    if (row.kept) found.push(element("p", "", row.kept));
    if (sent.length) found.push(element("h3", "", "Sends back"));
    const peak = peakOf(sent.map(s => held[s.k]));
    for (const s of sent) {
      const heat = heatOf(shown.program.values[s.k].shape, `to ${s.row.name}`);
      heat.show(held[s.k], peak);
      found.push(element("div", "rule", `${s.row.name}.grad += ${s.rule}`), heat.el);
    }
    return found;
  }

  /* ---- lines between rows that are not neighbours: forward at the left, backward at the right ---- */
  function lines() {
    const top = rows.getBoundingClientRect(), where = new Map(cells.map(c => [c.row.id, c])), left = [], right = [];
    const middle = c => { const r = c.el.getBoundingClientRect(); return r.top - top.top + Math.min(22, r.height / 2); };
    for (const c of cells) for (const id of new Set(c.row.ins)) {
      const from = where.get(id);
      if (!from || c.k - from.k < 2) continue;
      left.push([from, c]);
      if ((from.row.parts ?? []).some(p => p[0] === c.row.id)) right.push([from, c]);
    }
    const pad = parseFloat(getComputedStyle(rows).paddingLeft) - 4, most = Math.max(1, Math.floor((pad - 7) / 6));
    arcs.replaceChildren();
    for (const [side, all] of [["f", left], ["b", right]]) {
      const lanes = [];
      all.sort((p, q) => p[1].k - p[0].k - (q[1].k - q[0].k));
      for (const [a, b] of all) {
        let lane = lanes.findIndex(taken => taken.every(([from, to]) => b.k <= from || a.k >= to));
        if (lane < 0) { lane = lanes.length; lanes.push([]); }
        lanes[lane].push([a.k, b.k]);
        const out = 7 + 6 * Math.min(lane, most), edge = side === "f" ? pad : top.width - pad, x = side === "f" ? edge - out : edge + out, [y1, y2] = [middle(a), middle(b)];
        const turn = side === "f" ? 5 : -5, path = document.createElementNS(NS, "path");
        path.setAttribute("d", `M${edge} ${y1}H${x + turn}Q${x} ${y1} ${x} ${y1 + 5}V${y2 - 5}Q${x} ${y2} ${x + turn} ${y2}H${edge}` + (side === "f" ? `m-4 -3l4 3l-4 3` : `M${edge + 4} ${y1 - 3}l-4 3l4 3`));
        path.setAttribute("class", side);
        Object.assign(path.dataset, {a: a.row.id, b: b.row.id});
        arcs.append(path);
      }
    }
    arcs.setAttribute("width", top.width);
    arcs.setAttribute("height", top.height);
  }
  function light(ids, edge) {
    for (const c of cells) c.el.classList.toggle("near", ids.includes(c.row.id));
    for (const p of arcs.children) p.classList.toggle("near", edge(p.dataset.a, p.dataset.b, p.getAttribute("class")[0]));
  }
  home.addEventListener("pointerover", e => {
    const sent = e.target.closest(".sent[data-from]"), row = e.target.closest(".row[data-row]"), num = e.target.closest(".num[data-key]");
    if (num && !drag) point(num);
    if (sent) light([sent.dataset.from, sent.dataset.to], (a, b, side) => side === "b" && a === sent.dataset.to && b === sent.dataset.from);
    else if (row) { const id = row.dataset.row; light([id, ...shown.byId.get(id).ins], (a, b, side) => a === id || (b === id && side === "f")); }
    else light([], () => false);
  });
  home.addEventListener("pointerleave", () => light([], () => false));

  /* ---- changing numbers ---- */
  function point(cell) {
    const next = [cell.dataset.key, +cell.dataset.i];
    if (next.join() === at.pointed?.join()) return;
    at.pointed = next;
    more();
  }
  const stepOf = key => 10 ** (Math.floor(Math.log10(peakOf([{data: model.before.get(key)}]) || 1)) - 1);
  function change(key, i, value) {
    if (Number.isNaN(value)) return;
    model.leaves.get(key)[i] = Number(value.toPrecision(12));
    at.why = "";
    refresh();
  }
  let drag = null;
  home.addEventListener("pointerdown", e => {
    const cell = e.target.closest(".num[data-key]");
    if (!cell || e.button || cell.firstElementChild) return;
    const key = cell.dataset.key, i = +cell.dataset.i;
    drag = {cell, key, i, x: e.clientX, y: e.clientY, from: model.leaves.get(key)[i], moved: 0};
    cell.setPointerCapture(e.pointerId);
    cell.focus({preventScroll: true});
    if (e.pointerType === "mouse") e.preventDefault();
  });
  home.addEventListener("pointermove", e => {
    if (!drag) return;
    const steps = Math.round((e.clientX - drag.x + (e.pointerType === "mouse" ? drag.y - e.clientY : 0)) / 3);
    if (steps === drag.moved) return;
    drag.moved = steps;
    change(drag.key, drag.i, drag.from + steps * stepOf(drag.key));
  });
  for (const end of ["pointerup", "pointercancel"]) home.addEventListener(end, () => { drag = null; });
  home.addEventListener("focusin", e => {
    const cell = e.target.closest(".num[data-key]");
    if (!cell) return;
    for (const other of cell.parentNode.children) other.tabIndex = other === cell ? 0 : -1;
    point(cell);
  });
  home.addEventListener("dblclick", e => { const cell = e.target.closest(".num[data-key]"); if (cell) type(cell); });
  home.addEventListener("keydown", e => {
    const cell = e.target.closest(".num[data-key]");
    if (!cell || cell.firstElementChild || e.ctrlKey || e.metaKey || e.altKey) return;
    const {key} = cell.dataset, i = +cell.dataset.i, all = [...cell.parentNode.children], go = {ArrowLeft: -1, ArrowRight: 1, Home: -all.length, End: all.length}[e.key];
    const by = {ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10}[e.key];
    if (!go && !by && e.key !== "Enter") return;
    e.preventDefault();
    e.stopPropagation();
    if (by) change(key, i, model.leaves.get(key)[i] + by * stepOf(key));
    else if (go) all[Math.max(0, Math.min(all.length - 1, all.indexOf(cell) + go))].focus();
    else type(cell);
  });
  function type(cell) {
    const input = document.createElement("input"), {key} = cell.dataset, i = +cell.dataset.i;
    input.value = String(model.leaves.get(key)[i]);
    input.setAttribute("aria-label", cell.getAttribute("aria-label"));
    input.inputMode = "decimal";
    cell.replaceChildren(input);
    input.select();
    let open = true;
    const done = take => {  /* taking the input away blurs it, which comes here, too */
      if (!open) return;
      open = false;
      const text = input.value.trim(), value = text === "" ? NaN : Number(text);
      input.remove();
      if (take) change(key, i, value);
      refresh();
    };
    input.onblur = () => done(true);
    input.onkeydown = e => {
      e.stopPropagation();
      if (e.key === "Enter" || e.key === "Escape") { done(e.key === "Enter"); cell.focus(); }
    };
  }

  /* ---- what the page asks for ---- */
  let hit = -1;
  refresh();
  return {
    tape: () => ({F: shown.F, B: shown.B, label: shown.label}),
    /** Show it at step t; the text of the status line. */
    draw(t, scroll) {
      at.t = t;
      at.stepped ||= !!scroll || t < shown.F + shown.B;
      const active = step();
      if (active && scroll) {
        at.picked = active.id;
        cells.find(c => c.row === active).el.scrollIntoView({block: "nearest"});
      }
      more();
      lines();
      return status(active);
    },
    search(text, next) {
      const found = text ? cells.filter(c => c.text.includes(text)) : [];
      for (const c of cells) c.el.classList.toggle("miss", !!text && !found.includes(c));
      if (!next || !found.length) { hit = -1; return; }
      const c = found[hit = (hit + 1) % found.length];
      at.picked = c.row.id;
      c.el.scrollIntoView({block: "center"});
      more();
    },
    /** What the address keeps, and back. */
    state: () => Object.fromEntries(Object.entries({of: set.of, mode: set.mode === "train" ? "" : set.mode, eps: set.eps === model.epsBefore ? "" : set.eps, dtype: set.dtype === "float64" ? "" : set.dtype, set: model.toText()}).filter(([, x]) => x !== "")),
    restore(from) {
      model.reset();
      set.of = model.labels.includes(from.get("of")) ? from.get("of") : model.labels[0];
      if (model.modes().includes(from.get("mode"))) set.mode = from.get("mode");
      if (from.get("dtype") === "float32") set.dtype = "float32";
      if (from.get("eps") && set.eps !== null && +from.get("eps") >= 0) set.eps = +from.get("eps");
      model.fromText(from.get("set"));
      refresh();
    },
    resized: lines,
  };
}
