/* One array as a small heat map: its numbers on their colours, or a thumbnail with its range. The scale is drawing/heat.py's. */
import {sizeOf} from "./arrays.mjs";

const ROWS = 8,
  COLUMNS = 6; /* of numbers; larger arrays are thumbnails */
const PIXELS = [12, 24],
  PIXEL = 7; /* most rows and columns of a thumbnail, and px of one square */

/** An element of the page: its class, and what is in it. */
export function element(tag, look = "", ...inside) {
  const e = document.createElement(tag);
  if (look) e.className = look;
  e.append(...inside);
  return e;
}

/** The largest finite magnitude in some arrays. */
export function peakOf(arrays) {
  let peak = 0;
  for (const a of arrays) for (const v of a.data) if (Math.abs(v) > peak && Number.isFinite(v)) peak = Math.abs(v);
  return peak;
}

/** A number in at most six letters. */
function entry(v) {
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "NaN" : v > 0 ? "inf" : "-inf";
  const a = Math.abs(v);
  if (a === 0) return "0";
  if (a < 0.005 || a >= 99999.5) return v.toExponential(a < 1 ? 0 : 1).replace("+", "");
  return v.toFixed(a < 9.995 ? 2 : a < 99.95 ? 1 : 0);
}

/** Where an element stands, as an index: 4 of (2, 3) is "1, 1". */
export function indexOf(i, shape) {
  const at = [];
  for (let k = shape.length - 1; k >= 0; k--) {
    at.unshift(i % shape[k]);
    i = Math.floor(i / shape[k]);
  }
  return at.join(", ");
}

/* What all elements of a large number have in common, so that the rest can be seen. */
function commonOf(data) {
  let low = Infinity,
    high = -Infinity;
  for (const v of data) {
    if (!Number.isFinite(v)) return 0;
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  if (Math.max(Math.abs(low), Math.abs(high)) < 1e5 || high - low > 1e-3 * Math.abs(high)) return 0;
  const power = 10 ** (Math.floor(Math.log10(high - low || 1)) + 1);
  return Math.floor(low / power) * power;
}

const tint = (v, peak) => {
  const level = peak && Number.isFinite(v) ? Math.round(Math.min(1, Math.abs(v) / peak) * 55) : 0;
  return level ? `color-mix(in srgb,${v < 0 ? "#C2410C" : "#1D4ED8"} ${level}%,transparent)` : "";
};

/**
 * A heat map of arrays of one shape: {el, show(array, peak)}. edit: what is changed where a number of it is, as its key;
 * `name` then tells the numbers apart.
 */
export function heatOf(shape, name, edit = "") {
  const columns = shape.length ? shape.at(-1) : 1,
    rows = columns ? sizeOf(shape) / columns : 0,
    small = rows <= ROWS && columns <= COLUMNS;
  const el = element("div", "heat"),
    common = element("div", "common"),
    cells = [];
  el.append(common);
  if (!sizeOf(shape)) common.textContent = "empty";
  const canvas = small ? null : document.createElement("canvas");
  if (canvas) {
    [canvas.height, canvas.width] = [Math.min(rows, PIXELS[0]), Math.min(columns, PIXELS[1])];
    canvas.style.width = `${canvas.width * PIXEL}px`;
    canvas.setAttribute("role", "img");
    el.append(canvas);
  }
  if (small || edit) {
    const grid = element("div", edit ? "cells edit" : "cells"),
      wide = Math.min(columns, COLUMNS);
    grid.style.gridTemplateColumns = `repeat(${wide}, var(--cell))`;
    for (let r = 0; r < Math.min(rows, ROWS); r++)
      for (let c = 0; c < wide; c++) {
        const cell = element("span", "num"),
          i = r * columns + c;
        if (edit) {
          Object.assign(cell.dataset, {key: edit, i});
          cell.tabIndex = i ? -1 : 0;
          cell.setAttribute("role", "spinbutton");
          cell.setAttribute("aria-label", shape.length ? `${name} ${indexOf(i, shape)}` : name);
        }
        cells.push([cell, i]);
        grid.append(cell);
      }
    if (edit && sizeOf(shape)) {
      grid.setAttribute("role", "group");
      grid.setAttribute("aria-label", `${name}, to be changed`);
    }
    el.append(grid);
  }
  const first = canvas && edit ? `, the first ${Math.min(rows, ROWS)} x ${Math.min(columns, COLUMNS)}:` : "";
  function show(array, peak) {
    const base = canvas ? 0 : commonOf(array.data);
    const scale = base ? Math.max(...array.data.map(v => Math.abs(v - base))) : peak;
    if (canvas) thumbnail(canvas, array, rows, columns, peak);
    if (sizeOf(shape)) common.textContent = canvas ? rangeOf(array.data) + first : base ? `${base} +` : "";
    if (canvas) canvas.setAttribute("aria-label", `${name}: ${common.textContent}`);
    for (const [cell, i] of cells) {
      const v = array.data[i],
        said = entry(v - base),
        look = tint(v - base, scale);
      if (!cell.firstElementChild && cell.textContent !== said) cell.textContent = said;
      if (cell.style.background !== look) cell.style.background = look;
      cell.classList.toggle("bad", !Number.isFinite(v));
      cell.title = String(v);
      if (edit) {
        cell.setAttribute("aria-valuenow", Number.isFinite(v) ? v : 0);
        cell.setAttribute("aria-valuetext", String(v));
      }
    }
  }
  return {el, show};
}

function rangeOf(data) {
  const fine = data.filter(Number.isFinite),
    bad = data.length - fine.length;
  if (bad) return `${bad}/${data.length} NAN/INF`;
  return `${entry(fine.reduce((a, b) => Math.min(a, b)))} .. ${entry(fine.reduce((a, b) => Math.max(a, b)))}`;
}

/* Of each block of the matrix the element that is farthest from zero. */
function thumbnail(canvas, array, rows, columns, peak) {
  const at = canvas.getContext("2d"),
    {width, height} = canvas;
  at.clearRect(0, 0, width, height);
  for (let r = 0; r < height; r++)
    for (let c = 0; c < width; c++) {
      let worst = 0,
        bad = false;
      for (let i = Math.floor((r * rows) / height); i < Math.floor(((r + 1) * rows) / height); i++)
        for (let j = Math.floor((c * columns) / width); j < Math.floor(((c + 1) * columns) / width); j++) {
          const v = array.data[i * columns + j];
          bad ||= !Number.isFinite(v);
          if (Math.abs(v) > Math.abs(worst)) worst = v;
        }
      at.globalAlpha = bad ? 1 : peak ? 0.75 * Math.min(1, Math.abs(worst) / peak) : 0;
      at.fillStyle = bad ? "#B91C1C" : worst < 0 ? "#C2410C" : "#1D4ED8";
      at.fillRect(c, r, 1, 1);
    }
}
