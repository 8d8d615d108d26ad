/* What stands above the rows: which graph, which mode, eps, what breaks it, and back. */
import {element} from "./heat.mjs";

const SMALLEST = -13; /* of eps, as a power of ten; there it is 0 */

/** A number as in a sentence: 0.01, 1e-6. */
export function plainly(x) {
  if (x === 0 || (x >= 1e-3 && x < 1e4)) return String(Number(x.toPrecision(3)));
  return x
    .toExponential(2)
    .replace(/\.?0+e/, "e")
    .replace("+", "");
}

export function button(text, action) {
  const b = element("button", "", text);
  b.type = "button";
  b.onclick = action;
  return b;
}

/**
 * The bar: {el, show(variant)}. other(change): something else is on show when `change` was made; refresh(): numbers are
 * others; preset(p): a state of `presets` is asked for, null for what was recorded.
 */
export function controlsOf(model, presets, other, refresh, preset) {
  const {set} = model,
    el = element("div", "bar");
  const graphs = choice("Graph", model.labels, label =>
    other(() => {
      set.of = label;
    }),
  );
  const modes = choice("Mode", ["train", "eval"], mode =>
    other(() => {
      set.mode = mode;
    }),
  );
  const slider = Object.assign(document.createElement("input"), {type: "range", min: SMALLEST, max: 1, step: 0.1});
  const said = element("output"),
    breaks = document.createElement("select");
  slider.setAttribute("aria-label", "eps, as a power of ten");
  slider.oninput = () => {
    set.eps = +slider.value <= SMALLEST ? 0 : Number((10 ** +slider.value).toPrecision(3));
    refresh();
  };
  breaks.setAttribute("aria-label", "What breaks it");
  breaks.append(new Option("What breaks it ...", ""), ...presets.map((p, k) => new Option(p.name, k)));
  breaks.onchange = () => {
    const p = presets[+breaks.value];
    if (breaks.value !== "") other(() => preset(p));
    breaks.value = "";
  };
  for (const e of [slider, breaks]) e.onkeydown = event => event.stopPropagation(); /* arrows are theirs */
  if (model.labels.length > 1) el.append(graphs.el);
  if (model.all.some(v => v.mode === "eval")) el.append(modes.el);
  if (set.eps !== null) el.append(element("label", "eps", "eps ", slider, said));
  if (presets.length) el.append(breaks);
  el.append(button("As recorded", () => other(() => preset(null))));

  function show(v) {
    graphs.mark(set.of);
    modes.mark(v.mode, mode => model.find(set.of, mode) !== undefined);
    breaks.hidden = set.mode === "eval";
    if (set.eps === null) return;
    slider.value = set.eps === 0 ? SMALLEST : Math.log10(set.eps);
    slider.setAttribute("aria-valuetext", plainly(set.eps));
    said.textContent = plainly(set.eps);
  }
  return {el, show};
}

function choice(name, texts, pick) {
  const el = element("div", "grp"),
    all = texts.map(text => [text, button(text, () => pick(text))]);
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", name);
  el.append(...all.map(([, b]) => b));
  function mark(now, may = () => true) {
    for (const [text, b] of all) {
      b.setAttribute("aria-pressed", text === now);
      b.disabled = !may(text);
    }
  }
  return {el, mark};
}
