/* The panel beside the rows: a column of the Jacobian, and what one row is and sends back. */
import {element, heatOf, indexOf, peakOf} from "./heat.mjs";

const HELP = [
  "Drag a number with a dotted edge, up or to the right; or focus it and use the keys: up and down change it, Page up " +
    "and down by ten times as much, left and right go to the next, Enter takes another number.",
  "Everything is computed again here, forward and backward. The address keeps what was changed.",
  "Point at a number of a leaf: how the result moves with it. Point at a row or at a gradient: where it comes from.",
];

/** [{row, rule, k}]: what a row sends back, and where the value of it is found. */
export function sentBy(v, row) {
  const to = r => (r.parts ?? []).filter(p => p[0] === row.id).map(([, , rule, k]) => ({row: r, rule, k}));
  return v.rows.flatMap(to);
}

/**
 * Tell of the number [key, i] that is pointed at, and of the row that was picked. said(text): an expression as it is now;
 * reached(row): has its backward run?
 */
export function tellMore(panel, model, v, held, pointed, picked, said, reached) {
  const row = v.byId.get(picked),
    parts = [
      ...(pointed ? jacobian(model, v, ...pointed) : []),
      ...(row ? about(v, held, row, said, reached(row)) : []),
    ];
  panel.classList.toggle("told", parts.length > 0);
  panel.replaceChildren(
    ...(parts.length ? parts : [element("h2", "", "Change a number"), ...HELP.map(text => element("p", "", text))]),
  );
}

function jacobian(model, v, key, i) {
  const row = v.rows.find(r => v.keys.get(r.v) === key),
    result = v.rows.find(r => r.root);
  const column = row && result && model.column(key, i);
  if (!column) return [];
  const {shape} = v.program.values[row.v],
    name = shape.length ? `${row.name}[${indexOf(i, shape)}]` : row.name;
  const still = column.data.filter(x => x === 0).length,
    of = column.data.length;
  const heat = heatOf(column.shape, `d ${result.name} / d ${name}`);
  heat.show(column, peakOf([column]));
  return [
    element("h2", "", `d ${result.name} / d ${name}`),
    element(
      "p",
      "",
      `How ${result.name} moves where ${name} grows, for each unit: a column of the Jacobian.` +
        (still ? ` ${still} of ${of} do not move.` : ""),
    ),
    heat.el,
  ];
}

function about(v, held, row, said, reached) {
  const sent = reached ? sentBy(v, row) : [],
    found = [element("h2", "", row.name)],
    peak = peakOf(sent.map(s => held[s.k]));
  if (row.op) found.push(element("div", "fx", `${row.name} = ${said(row.expr)}`));
  if (row.formula && row.formula !== row.expr) found.push(element("div", "fx", `= ${said(row.formula)}`));
  if (row.kept) found.push(element("p", "", row.kept));
  if (sent.length) found.push(element("h3", "", "Sends back"));
  for (const s of sent) {
    const heat = heatOf(v.program.values[s.k].shape, `to ${s.row.name}`);
    heat.show(held[s.k], peak);
    found.push(element("div", "rule", `${s.row.name}.grad += ${s.rule}`), heat.el);
  }
  return found;
}
