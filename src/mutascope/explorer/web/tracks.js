// Tracks in the margins of a map. Per line, from the map outwards: NSM sites by status, where there are more of them
// than chance, the norm of what a column reads, and where an activation is massive.

import { css, dark, sequential } from "./colours.js";
import { el, swatch } from "./dom.js";

/** @import { Colour, LocusPage, Order, Track } from "./types.d.ts" */

/** @typedef {(colour: string, from: number, to: number) => void} Fill of a line, from and to so many pixels from the map */

export const TRACK = 72; // pixels of the tracks at the top and at the left
const BARS = [3, 43]; // from the map outwards, in pixels
/** @type {Record<string, [number, number]>} */
const LANES = { any: [46, 49], both: [50, 53] };
/** @type {[number, number]} */
const NORM = [56, 63];
const FDR = 0.05; // q up to which a line is marked
/** @type {Record<string, string>} */
const HITS = { any: "more NSM sites than chance", both: "more sites of both than chance" };
/** @type {Record<string, string[]>} */
const MARKS = { any: ["#b3004b", "#ffd166"], both: ["#6a3d9a", "#c4a7ff"] }; // light, dark
const MASSIVE = "#d55e00";
const STACKED = [4, 2, 3]; // statuses in a bar: both, max only, min only
/** @param {string} hit */
const markOf = (hit) => MARKS[hit][Number(dark())];

/** What the tracks show: counts by line and status [5 each], q by test, norm and massive activations where known. @param {Uint8Array} status @param {LocusPage} locus @param {"row" | "col"} axis @returns {Track} */
export function trackOf(status, { rows, cols, arrays }, axis) {
  const counts = new Uint32Array(5 * (axis === "row" ? rows : cols));
  for (let i = 0; i < status.length; i++) counts[5 * (axis === "row" ? Math.floor(i / cols) : i % cols) + status[i]] += 1;
  const norm = arrays[`${axis}.input_norm`];
  const known = norm ? [...norm].filter((value) => value > 0).map(Math.log) : [];
  const range = known.length ? [Math.min(...known), Math.max(...known)] : null;
  return { counts, q: { any: arrays[`${axis}.any`], both: arrays[`${axis}.both`] }, norm, range, massive: arrays[`${axis}.massive`] };
}

/** @param {Track} track @param {number} line */
export const nsmsOf = ({ counts }, line) => STACKED.reduce((sum, status) => sum + counts[5 * line + status], 0);

/** One line in words: its NSM sites and those of both, with q of either test. @param {string} word @param {Track} track @param {number} line */
export function lineInWords(word, track, line) {
  const tested = (/** @type {string} */ hit) => (track.q[hit] ? ` (q ${track.q[hit][line].toPrecision(2)})` : "");
  return `${word}: ${nsmsOf(track, line)} NSM sites${tested("any")}, ${track.counts[5 * line + 4]} both${tested("both")}`;
}

/**
 * Draw the tracks of the lines of one margin; `order` says which line is where.
 * @param {CanvasRenderingContext2D} context @param {Track} track
 * @param {{ order: Order, offset: number, scale: number, end: number, top: boolean, colours: Colour[] }} view
 */
export function drawTrack(context, track, { order, offset, scale, end, top, colours }) {
  const most = Math.max(1, ...Array.from(order, (_, line) => nsmsOf(track, line)));
  context.save();
  context.beginPath();
  if (top) context.rect(TRACK, 0, end - TRACK, TRACK);
  else context.rect(0, TRACK, TRACK, end - TRACK);
  context.clip();
  for (let i = 0; i < order.length; i++) {
    const at = TRACK + (i - offset) * scale;
    if (at + scale < TRACK || at > end) continue;
    const thick = Math.max(scale - (scale > 4 ? 1 : 0), 0.75);
    /** @type {Fill} */
    const fill = (colour, from, to) => {
      context.fillStyle = colour;
      if (top) context.fillRect(at, TRACK - to, thick, to - from);
      else context.fillRect(TRACK - to, at, to - from, thick);
    };
    drawLine(fill, track, order[i], (BARS[1] - BARS[0]) / most, colours);
    if (track.massive?.[order[i]]) drawTriangle(context, at + thick / 2, top);
  }
  context.restore();
}

/** @param {Fill} fill @param {Track} track @param {number} line @param {number} unit @param {Colour[]} colours */
function drawLine(fill, track, line, unit, colours) {
  let from = BARS[0];
  for (const status of STACKED) {
    const to = from + unit * track.counts[5 * line + status];
    fill(css(colours[status]), from, to);
    from = to;
  }
  for (const hit of Object.keys(LANES)) if ((track.q[hit]?.[line] ?? 1) <= FDR) fill(markOf(hit), ...LANES[hit]);
  const norm = track.norm?.[line] ?? 0;
  if (track.range && norm > 0) fill(css(sequential(part(norm, track.range))), ...NORM);
}

/** @param {number} norm @param {number[]} range */
const part = (norm, [low, high]) => (Math.log(norm) - low) / (high - low || 1);

/** @param {CanvasRenderingContext2D} context @param {number} middle @param {boolean} top */
function drawTriangle(context, middle, top) {
  context.fillStyle = MASSIVE;
  context.beginPath();
  for (const [along, out] of [[-4, 0], [4, 0], [0, 7]]) context.lineTo(top ? middle + along : out, top ? out : middle + along);
  context.fill();
}

/** What the marks in the margins mean, of those that there are. @param {Track[]} tracks */
export function trackLegend(tracks) {
  const marked = Object.keys(HITS).filter((hit) => tracks.some(({ q }) => q[hit]?.some((value) => value <= FDR)));
  const shades = [0, 0.25, 0.5, 0.75, 1].map((at) => css(sequential(at)));
  return el("ul", { class: "legend tracks" },
    el("li", {}, "margins: NSM sites of each line"),
    marked.map((hit) => el("li", { "data-mark": hit }, swatch(markOf(hit)), `${HITS[hit]} (q ≤ ${FDR})`)),
    tracks.some(({ range }) => range) ? el("li", { "data-mark": "norm" }, "input norm: low ", swatch(`linear-gradient(90deg, ${shades})`, "swatch gradient"), " high") : null,
    tracks.some(({ massive }) => massive?.some(Boolean)) ? el("li", { "data-mark": "massive" }, el("span", { class: "massive" }, "▼"), "massive activation") : null);
}
