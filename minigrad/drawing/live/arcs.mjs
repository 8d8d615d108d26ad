/* Lines between rows that are not neighbours: forward at the left, backward at the right. */

const NS = "http://www.w3.org/2000/svg";

/** Lines over the cells of a ladder: {el, draw(cells), light(edge)}; a cell is {row, k, el}. */
export function arcsOver(rows) {
  const el = document.createElementNS(NS, "svg");
  el.setAttribute("aria-hidden", "true");
  el.setAttribute("class", "arcs");

  function draw(cells) {
    const top = rows.getBoundingClientRect(),
      where = new Map(cells.map(c => [c.row.id, c])),
      left = [],
      right = [];
    const pad = parseFloat(getComputedStyle(rows).paddingLeft) - 4,
      most = Math.max(1, Math.floor((pad - 7) / 6));
    const middle = c => {
      const r = c.el.getBoundingClientRect();
      return r.top - top.top + Math.min(22, r.height / 2);
    };
    for (const c of cells)
      for (const id of new Set(c.row.ins)) {
        const from = where.get(id);
        if (!from || c.k - from.k < 2) continue;
        left.push([from, c]);
        if ((from.row.parts ?? []).some(p => p[0] === c.row.id)) right.push([from, c]);
      }
    el.replaceChildren();
    el.setAttribute("width", top.width);
    el.setAttribute("height", top.height);
    for (const [a, b, lane] of inLanes(left)) {
      const out = 7 + 6 * Math.min(lane, most);
      add("f", a, b, bow(pad, -out, middle(a), middle(b)) + "m-4 -3l4 3l-4 3");
    }
    for (const [a, b, lane] of inLanes(right)) {
      const out = 7 + 6 * Math.min(lane, most),
        edge = top.width - pad;
      add("b", a, b, bow(edge, out, middle(a), middle(b)) + `M${edge + 4} ${middle(a) - 3}l-4 3l4 3`);
    }
  }
  function add(side, a, b, d) {
    const path = document.createElementNS(NS, "path");
    path.setAttribute("d", d);
    path.setAttribute("class", side);
    Object.assign(path.dataset, {a: a.row.id, b: b.row.id});
    el.append(path);
  }
  /** Light the lines of which edge(upper row, lower row, "f" or "b") holds. */
  function light(edge) {
    for (const p of el.children) p.classList.toggle("near", edge(p.dataset.a, p.dataset.b, p.classList[0]));
  }
  return {el, draw, light};
}

/* A line from height y to height z that stands `out` px beside x. */
function bow(x, out, y, z) {
  const turn = x + out - 5 * Math.sign(out);
  return `M${x} ${y}H${turn}Q${x + out} ${y} ${x + out} ${y + 5}V${z - 5}Q${x + out} ${z} ${turn} ${z}H${x}`;
}

/* [upper, lower, lane]: short lines near the rows, and no two on one lane beside each other. */
function inLanes(pairs) {
  const lanes = [],
    length = ([a, b]) => b.k - a.k;
  return [...pairs]
    .sort((p, q) => length(p) - length(q))
    .map(([a, b]) => {
      let lane = lanes.findIndex(taken => taken.every(([from, to]) => b.k <= from || a.k >= to));
      if (lane < 0) lane = lanes.push([]) - 1;
      lanes[lane].push([a.k, b.k]);
      return [a, b, lane];
    });
}
