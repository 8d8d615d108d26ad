/* The ladder as the page's first view: rows of values and gradients that are computed here, and may be changed. */
import {arcsOver} from "./arcs.mjs";
import {arrayOf} from "./arrays.mjs";
import {changing} from "./changing.mjs";
import {button, controlsOf, plainly} from "./controls.mjs";
import {element, heatOf, peakOf} from "./heat.mjs";
import {modelOf} from "./model.mjs";
import {sentBy, tellMore} from "./telling.mjs";

/* A difference, with one digit. */
function few(x) {
  if (!Number.isFinite(x)) return "a NaN";
  return x === 0 ? "0" : x.toExponential(0).replace("e+0", "").replace("+", "");
}

/**
 * The view: `home` is where it stands, `panel` where it tells more, `changed(done)` is called when the address or the
 * status has become another (done: all steps are to be shown). Throws an Error that names what there is no kernel for.
 */
export function liveLadder(data, home, panel, changed) {
  const model = modelOf(data),
    {set} = model,
    at = {t: 0, stepped: false, picked: null, pointed: null, why: ""};
  const off = element("p", "off"),
    why = element("p", "why"),
    rows = element("div", "rows"),
    arcs = arcsOver(rows);
  const controls = controlsOf(model, data.presets, other, refresh, preset);
  let shown = null,
    held = null,
    cells = null,
    timer = 0;
  home.append(controls.el, off, why, rows);

  /* Another graph is on show: where all steps were done, all of its are. */
  function other(change) {
    const done = at.t >= shown.F + shown.B;
    at.why = "";
    change();
    refresh();
    changed(done);
  }
  function preset(p) {
    const {of} = set;
    model.reset();
    set.of = of;
    if (p === null) return;
    for (const [name, numbers] of Object.entries(p.set ?? {}))
      model.leaves.set(`x ${name}`, Float64Array.from(numbers));
    Object.assign(set, {mode: p.mode ?? "train", eps: p.eps ?? set.eps, dtype: p.dtype ?? "float64"});
    at.why = `${p.name}: ${p.why}`;
  }

  /* ---- rows ---- */
  const shapeOf = (v, row) => (row.v === undefined ? row.held.shape : v.program.values[row.v].shape);
  const isLeaf = row => row.kind !== "op" && row.kind !== "kept";
  function build(v) {
    const names = [
      ["", "forward, down"],
      ["", "value"],
      ["mid", "kept"],
      ["up", "gradient, up: read from below"],
    ];
    rows.replaceChildren(
      arcs.el,
      element("div", "row head", ...names.map(([look, text]) => element("span", look, text))),
    );
    rows.style.setProperty("--wide", Math.max(2, ...v.rows.map(row => Math.min(6, shapeOf(v, row).at(-1) ?? 1))));
    cells = v.rows.map((row, k) => {
      const key = v.keys.get(row.v),
        shape = shapeOf(v, row),
        made = element("code");
      const value = heatOf(shape, row.name, isLeaf(row) && key && model.floats(v, row.v) ? key : "");
      const said = element("small", "shape", `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`);
      const {figures, el: sent} = sentTo(v, row);
      const el = element(
        "div",
        `row ${isLeaf(row) ? "leaf" : row.kind}`,
        nameOf(row, made),
        element("div", "val", said, value.el),
        element("div", row.kept ? "sv" : "sv no", row.kept ?? ""),
        sent,
      );
      el.dataset.row = row.id;
      rows.append(el);
      const text = [row.name, row.op, row.kind, row.expr, row.where].join(" ").toLowerCase();
      return {row, k, el, value, figures, made, text};
    });
    shown = v;
  }
  function nameOf(row, made) {
    const who = button(row.name, () => {
      at.picked = row.id;
      changed();
    });
    who.className = "who";
    const word = isLeaf(row) ? row.kind : row.root ? "output" : "",
      el = element("div", "nm", who, element("small", "", ` ${word}`));
    if (row.expr && row.expr !== row.name) el.append(made);
    if (row.where) el.append(element("small", "where", row.where));
    return el;
  }
  /* The number of the value that holds what is given as the gradient of a result. */
  function givenFor(v, row) {
    const k = v.rows.filter(r => r.root && r.g !== undefined).indexOf(row);
    return k < 0 ? undefined : Object.keys(v.starts).find(n => v.starts[n] === `d${k}`);
  }
  function sentTo(v, row) {
    const el = element("div", "gr"),
      figures = [];
    if (row.g === undefined) {
      const reason = v.B
        ? isLeaf(row)
          ? `none: ${row.kind}`
          : "none"
        : (v.notes[0] ?? "none: give gradient= in Python");
      if (row.kind !== "kept") el.append(element("small", "", reason));
      return {el, figures};
    }
    const start = row.root ? givenFor(v, row) : undefined;
    const parts = (row.parts ?? []).map(([from, , rule, k]) => ({
      caption: `${v.byId.get(from)?.name ?? from}: ${rule}`,
      k,
      from,
    }));
    if (start !== undefined) parts.push({caption: `given: dL/d${row.name}`, k: +start, edit: v.keys.get(+start)});
    if (parts.length !== 1) parts.push({caption: "sum", k: row.g});
    parts.forEach((part, j) => {
      const heat = heatOf(
        v.program.values[part.k].shape,
        part.edit ? `dL/d${row.name}` : `gradient of ${row.name}`,
        part.edit ?? "",
      );
      const figure = element("div", "sent", element("div", "cap", part.caption), heat.el),
        sign = j ? (part.caption === "sum" ? "=" : "+") : "";
      el.append(sign ? element("div", "term", element("i", "", sign), figure) : figure);
      if (part.from) Object.assign(figure.dataset, {from: part.from, to: row.id});
      figures.push({el: figure, heat, ...part});
    });
    return {el, figures};
  }

  /* ---- numbers ---- */
  function refresh() {
    const v = model.variant();
    if (shown !== v) build(v);
    const before = performance.now();
    model.changed();
    held = model.run(v);
    tell(v, performance.now() - before);
    for (const {row, value, figures, made} of cells) {
      const array = row.v === undefined ? arrayOf(row.held.shape, row.held.data.map(Number)) : held[row.v];
      const peak = peakOf(figures.map(f => held[f.k]));
      value.show(array, peakOf([array]));
      for (const f of figures) f.heat.show(held[f.k], peak);
      made.textContent = row.kind === "op" ? `= ${withEps(row.expr)}` : (row.expr ?? "");
    }
    controls.show(v);
    more();
    arcs.draw(cells);
    clearTimeout(timer);
    timer = setTimeout(changed, 150); /* an address that changes with each px of a drag is too much for browsers */
  }
  function tell(v, took) {
    const far = model.asRecorded() && v.python.length ? model.offPython(v, held) : null;
    const words = [`Computed here, forward${v.B ? " and backward" : ""}, in ${took.toFixed(1)} ms.`];
    if (far === 0) words.push("Every number is Python's, to the last bit.");
    else if (far !== null) words.push(`Largest difference from Python's numbers: ${few(far)} of an array's maximum.`);
    else words.push(v.mode === "one" ? "The first row alone." : "Changed: these are no longer Python's numbers.");
    if (v.fixed.length && !model.asRecorded())
      words.push(`Not computed again, for it has no graph: ${v.fixed.join(", ")}.`);
    for (const [label, apart] of model.others(held))
      words.push(`${label} gives the same ${apart ? `to ${few(apart)}` : "exactly"}.`);
    if (set.dtype !== "float64") {
      const lost = model
        .lost(held)
        .map(([name, x]) => `${/^result/.test(name) ? "the result" : `d_${name}`} is off by ${few(x)}`);
      words.push(`In ${set.dtype}, against float64: ${lost.join(", ")}.`);
    }
    off.textContent = words.join(" ");
    off.classList.toggle("bad", far !== null && !(far < 1e-5));
    why.textContent = at.why;
    why.hidden = !at.why;
  }
  /* An expression with the eps that is set in place of the one that was recorded. */
  function withEps(text) {
    const {epsBefore} = model,
      same = x => Math.abs(x - epsBefore) <= 0.01 * epsBefore;
    if (epsBefore === null || set.eps === epsBefore) return text;
    return text.replace(/(eps=|\+ )([\d.]+(?:e-?\d+)?)(?![\w.*])/g, (all, before, x) =>
      same(+x) ? before + plainly(set.eps) : all,
    );
  }
  function more() {
    const reached = row => row.b > 0 && at.t - shown.F >= row.b;
    tellMore(panel, model, shown, held, at.pointed, at.picked, withEps, reached);
  }

  /* ---- steps: what is there by now ---- */
  function step() {
    const v = shown,
      f = Math.min(at.t, v.F),
      b = Math.max(0, at.t - v.F),
      order = id => v.byId.get(id).b;
    let active = null;
    for (const {row, el, value, figures} of cells) {
      const now = row.kind === "op" && at.stepped && at.t > 0 && (b ? row.b === b : row.f === f);
      const there = part => order(part.from) > 0 && b >= order(part.from),
        ready = f >= v.F && figures.every(g => !g.from || there(g));
      if (now) active = row;
      el.classList.toggle("later", f < row.f);
      el.classList.toggle("act", now);
      value.el.classList.toggle("hid", f < row.f);
      for (const g of figures) {
        g.el.classList.toggle("hid", !(g.from ? there(g) : ready));
        g.el.classList.toggle("hot", !!g.from && at.stepped && b > 0 && order(g.from) === b);
      }
    }
    return active;
  }
  function status(active) {
    const v = shown,
      f = Math.min(at.t, v.F),
      b = Math.max(0, at.t - v.F);
    if (!active && v.notes.length) return v.notes[0];
    if (!active)
      return at.t
        ? "All steps are shown. Left arrow: one step back."
        : "Start: leaves are given. Right arrow: next step.";
    if (!b) return `forward ${f}/${v.F}  ${active.name} = ${withEps(active.expr)}`;
    return `backward ${b}/${v.B}  ${active.op}: ${sentBy(v, active)
      .map(({row, rule}) => `${row.name}.grad += ${rule}`)
      .join("  ;  ")}`;
  }

  /* ---- what is pointed at ---- */
  function light(ids, edge) {
    for (const c of cells) c.el.classList.toggle("near", ids.includes(c.row.id));
    arcs.light(edge);
  }
  home.addEventListener("pointerover", e => {
    const sent = e.target.closest(".sent[data-from]"),
      row = e.target.closest(".row[data-row]");
    if (sent) {
      const {from, to} = sent.dataset;
      light([from, to], (a, b, side) => side === "b" && a === to && b === from);
    } else if (row) {
      const id = row.dataset.row;
      light([id, ...shown.byId.get(id).ins], (a, b, side) => a === id || (b === id && side === "f"));
    } else light([], () => false);
  });
  home.addEventListener("pointerleave", () => light([], () => false));
  function point(cell) {
    const next = [cell.dataset.key, +cell.dataset.i];
    if (next.join() === at.pointed?.join()) return;
    at.pointed = next;
    more();
  }
  changing(home, model, point, () => {
    at.why = "";
    refresh();
  });

  /* ---- what the page asks for ---- */
  let hit = -1;
  refresh();
  return {
    tape: () => ({F: shown.F, B: shown.B}),
    resized: () => arcs.draw(cells),
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
      arcs.draw(cells);
      return status(active);
    },
    search(text, next) {
      const found = text ? cells.filter(c => c.text.includes(text)) : [];
      for (const c of cells) c.el.classList.toggle("miss", !!text && !found.includes(c));
      hit = next && found.length ? (hit + 1) % found.length : -1;
      if (hit < 0) return;
      at.picked = found[hit].row.id;
      found[hit].el.scrollIntoView({block: "center"});
      more();
    },
    /** What the address keeps, and back. */
    state() {
      const all = {of: set.of, mode: set.mode, eps: set.eps, dtype: set.dtype, set: model.toText()};
      const usual = {mode: "train", eps: model.epsBefore, dtype: "float64", set: ""};
      return Object.fromEntries(Object.entries(all).filter(([name, x]) => x !== usual[name]));
    },
    restore(from) {
      model.reset();
      set.of = model.labels.includes(from.get("of")) ? from.get("of") : model.labels[0];
      if (model.find(set.of, from.get("mode"))) set.mode = from.get("mode");
      if (from.get("dtype") === "float32") set.dtype = "float32";
      if (from.get("eps") && set.eps !== null && +from.get("eps") >= 0) set.eps = +from.get("eps");
      model.fromText(from.get("set"));
      refresh();
    },
  };
}
