/* Numbers that are dragged, stepped by keys, or typed: each is a `.num` whose data-key and data-i say what it is. */
import {peakOf} from "./heat.mjs";

const PX = 3; /* of a drag for one step */

/** Listen to `home`. point(cell): one is looked at; refresh(): numbers of `model` have changed. */
export function changing(home, model, point, refresh) {
  const cellOf = e => e.target.closest(".num[data-key]");
  const stepOf = key => 10 ** (Math.floor(Math.log10(peakOf([{data: model.before.get(key)}]) || 1)) - 1);
  const valueOf = cell => model.leaves.get(cell.dataset.key)[+cell.dataset.i];
  function change(cell, value) {
    if (Number.isNaN(value)) return;
    model.leaves.get(cell.dataset.key)[+cell.dataset.i] = Number(value.toPrecision(12));
    refresh();
  }

  let drag = null;
  home.addEventListener("pointerdown", e => {
    const cell = cellOf(e);
    if (!cell || e.button || cell.firstElementChild) return;
    drag = {cell, x: e.clientX, y: e.clientY, from: valueOf(cell), moved: 0};
    cell.setPointerCapture(e.pointerId);
    cell.focus({preventScroll: true});
    if (e.pointerType === "mouse") e.preventDefault();
  });
  home.addEventListener("pointermove", e => {
    if (!drag) return;
    const up = e.pointerType === "mouse" ? drag.y - e.clientY : 0; /* a finger that moves up scrolls */
    const steps = Math.round((e.clientX - drag.x + up) / PX);
    if (steps === drag.moved) return;
    drag.moved = steps;
    change(drag.cell, drag.from + steps * stepOf(drag.cell.dataset.key));
  });
  for (const end of ["pointerup", "pointercancel"])
    home.addEventListener(end, () => {
      drag = null;
    });

  home.addEventListener("pointerover", e => {
    if (cellOf(e) && !drag) point(cellOf(e));
  });
  home.addEventListener("focusin", e => {
    const cell = cellOf(e);
    if (!cell || cell !== e.target) return;
    for (const other of cell.parentNode.children) other.tabIndex = other === cell ? 0 : -1;
    point(cell);
  });
  home.addEventListener("dblclick", e => {
    if (cellOf(e)) type(cellOf(e));
  });
  home.addEventListener("keydown", e => {
    const cell = cellOf(e);
    if (!cell || cell.firstElementChild || e.ctrlKey || e.metaKey || e.altKey) return;
    const all = [...cell.parentNode.children],
      at = all.indexOf(cell),
      last = all.length - 1;
    const by = {ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10}[e.key];
    const to = {ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last}[e.key];
    if (by) change(cell, valueOf(cell) + by * stepOf(cell.dataset.key));
    else if (to !== undefined) all[Math.max(0, Math.min(last, to))].focus();
    else if (e.key === "Enter") type(cell);
    else return;
    e.preventDefault();
    e.stopPropagation();
  });

  function type(cell) {
    if (cell.firstElementChild) return;
    const input = document.createElement("input");
    let open = true;
    input.value = String(valueOf(cell));
    input.inputMode = "decimal";
    input.setAttribute("aria-label", cell.getAttribute("aria-label"));
    cell.replaceChildren(input);
    input.select();
    const done = take => {
      /* taking the input away blurs it, which comes here, too */
      if (!open) return;
      open = false;
      const text = input.value.trim();
      input.remove();
      if (take && text !== "") change(cell, Number(text));
      refresh();
    };
    input.onblur = () => done(true);
    input.onkeydown = e => {
      e.stopPropagation();
      if (e.key !== "Enter" && e.key !== "Escape") return;
      done(e.key === "Enter");
      cell.focus();
    };
  }
}
