// One locus, in one screen or in all that have it beside each other.

import { Camera, Chart } from "./chart.js";
import { PALE, statusColours } from "./colours.js";
import * as data from "./data.js";
import { choice, count, counted, el } from "./dom.js";
import { extent, guessed, kept, modes, paintSites, statuses, valuesOf } from "./measures.js";
import { lineTag, scaleLegend, statusLegend } from "./model.js";
import { address, go, note, parseLine } from "./state.js";
import { lineInWords, TRACK, trackLegend, trackOf } from "./tracks.js";
import { screened } from "./world.js";

/** @import { At, Atlas, DrawnMap, LocusPage, Locus, Mutant, Screen } from "./types.d.ts" */

const HEAD = 260; // pixels of a window above and below the maps

/** The view that is on the page, kept while only colours, orders and marks change. @type {{ key: string, charts: Chart[], head: HTMLElement, element: HTMLElement } | null} */
let shown = null;

/** @param {Atlas} atlas @param {At} at @param {Mutant[]} lit */
export async function locusView(atlas, at, lit) {
  const screen = atlas.screens[Number(at.screen)];
  const facts = screen.loci.find((l) => l.name === at.locus);
  if (!facts || !at.locus) return el("section", {}, el("h2", {}, `${at.locus}: no such locus`), el("p", {}, `${screen.label} has ${screen.loci.length} loci.`));
  const numbers = at.beside ? atlas.screens.flatMap((s, i) => (i === Number(at.screen) || s.loci.some((l) => l.name === at.locus && screened(l)) ? [i] : [])) : [Number(at.screen)];
  const name = at.locus;
  const key = [at.screen, at.locus, at.beside, numbers.length].join();
  const maps = await Promise.all(numbers.map((number) => mapOf(atlas, number, name, at, lit)));
  for (const map of maps) if (map.rows !== facts.rows || map.cols !== facts.cols) map.marks = []; // which are sites of this shape
  const before = shown;
  const now = shown = before?.key === key && before.charts[0].canvas.isConnected ? before : { key, ...built(maps, numbers, at) };
  if (now === before) now.charts.forEach((chart, i) => chart.setMap(maps[i], chart.map.order !== maps[i].order));
  now.head.replaceChildren(...head(atlas, screen, facts, at, maps[numbers.indexOf(Number(at.screen))]), trackLegend(maps.flatMap((map) => [map.rowTrack, map.colTrack])));
  return now.element;
}

/** Middle and scale of what is seen, for the address. @param {number[]} middle */
const spot = (middle) => middle.map((v, i) => v.toFixed(i < 2 ? 1 : 2)).join();

/** Of a map of another shape, whose place is not the address's. */
const ALONE = { onmove() {}, onleave() {} };

/** @param {DrawnMap[]} maps @param {number[]} numbers of the screens @param {At} at */
function built(maps, numbers, at) {
  const start = (at.cam ?? "").split(",").map(Number);
  const camera = new Camera(start.length === 3 && start[2] > 0 ? start : null, {
    onmove: (...middle) => note({ cam: middle.length ? spot(middle) : null }),
    onleave: (...middle) => go({ view: "model", colour: null, cam: `${at.locus},${spot(middle)}` }),
  });
  const main = maps[numbers.indexOf(Number(at.screen))];
  const alike = maps.map(({ rows, cols }) => rows === main.rows && cols === main.cols);
  const tip = el("p", { class: "tip", "aria-live": "polite" }, "arrow keys move, Enter opens, + and - zoom, 0 shows all");
  /** @type {Chart[]} */
  const charts = maps.map((map, i) => new Chart(alike[i] ? camera : new Camera(null, ALONE), map, {
    onpick: (row, col) => pick(charts[i].map, numbers[i], row, col),
    onpoint: (site) => tip.replaceChildren(site ? told(charts[i].map, ...site) : " "),
  }));
  const frames = charts.map((chart, i) => el("figure", {}, maps.length > 1 ? el("figcaption", {}, maps[i].title, alike[i] ? null : `: ${count(maps[i].rows)} by ${count(maps[i].cols)} sites, moves alone`) : null, chart.element));
  const top = el("div");
  const grid = el("div", { class: "charts" }, frames);
  grid.style.gridTemplateColumns = `repeat(${sideBySide(charts)}, 1fr)`;
  return { charts, head: top, element: el("section", { class: "locusview" }, top, grid, tip) };
}

/** So many maps side by side that they are as large as can be in a window of this size. @param {Chart[]} charts */
function sideBySide(charts) {
  const [{ across, down }] = charts;
  const scale = (/** @type {number} */ columns) => Math.min((innerWidth / columns - TRACK) / across, ((innerHeight - HEAD) / Math.ceil(charts.length / columns) - TRACK) / down);
  return charts.map((_, i) => i + 1).reduce((best, columns) => (scale(columns) > scale(best) ? columns : best));
}

/** @param {Locus} facts */
function summary({ rows, cols, transposed, phenotypes, enriched }) {
  const facts = [`${count(rows)} rows by ${count(cols)} columns of sites${transposed ? ", drawn transposed" : ""}`];
  if (phenotypes) facts.push(counted(phenotypes, "phenotype"));
  if (enriched) facts.push(`enriched rows and columns: ${count(enriched)}`);
  return facts.join(" · ");
}

/** @param {Atlas} atlas @param {Screen} screen @param {Locus} facts @param {At} at @param {DrawnMap} map */
function head(atlas, screen, facts, at, map) {
  const { mode, name } = map;
  const all = screen.loci.map((l) => [l.name, l.name]);
  const orders = [["index", "index"], ["copa-col", "COPA of columns"], ["copa-row", "COPA of rows"]];
  return [
    el("h2", {}, el("a", { href: address({ view: "model", locus: null, mutant: null, colour: null, limit: null }) }, screen.title), ` › ${facts.name}`),
    el("p", { class: "quiet" }, summary(facts)),
    el("div", { class: "controls" },
      choice("locus", all, facts.name, (locus) => go({ locus, mutant: null })),
      choice("colour", Object.entries(map.modes).map(([key, { word }]) => [key, word]), name, (colour) => go({ colour, limit: null })),
      mode.of ? choice("mutation", [["any", "any"], ...screen.mutations.map((m) => [m, m])], at.mutation, (mutation) => go({ mutation })) : null,
      choice("order", orders, at.order, (order) => go({ order })),
      atlas.screens.length > 1 ? el("label", { class: "control" }, el("span", {}, "other screens"), el("input", { type: "checkbox", name: "beside", checked: Boolean(at.beside), onchange: (event) => go({ beside: event.target.checked ? "1" : null }) })) : null,
      map.line ? lineTag(map.line) : null,
      mode.of ? threshold(map) : statusLegend(atlas, at.palette, map.counts, facts.exact < screened(facts) ? PALE.site : 0)),
  ];
}

/** A slider that keeps the sites up to a value, or from one on, and counts them as it moves. @param {DrawnMap} map */
function threshold({ mode, range: [low, high], limit, values }) {
  const called = values.filter((value) => !Number.isNaN(value)).length;
  const sign = mode.keep === "high" ? "≥" : "≤";
  const output = el("output", { id: "kept" });
  const said = el("span");
  const step = values.every((value) => Number.isNaN(value) || Number.isInteger(value)) ? 1 : (high - low) / 200 || 0.01;
  /** @type {HTMLInputElement} */
  const slider = el("input", { type: "range", id: "limit", min: low, max: high, step, value: limit, "aria-describedby": "kept",
    oninput: () => tell(Number(slider.value)), onchange: () => go({ limit: slider.value }, true) });
  const tell = (/** @type {number} */ value) => {
    said.textContent = `show ${sign} ${mode.shown(value)}`;
    output.textContent = `${count(values.filter((v) => kept(mode, v, value)).length)} of ${count(called)} sites`;
  };
  tell(limit);
  return el("span", { class: "legend" }, mode.identity ? null : scaleLegend(low, high, mode), el("label", { class: "control" }, said, slider), output);
}

/** Lines as they are numbered. @param {number} length */
const plain = (length) => Uint32Array.from({ length }, (_, i) => i);

/** @param {Atlas} atlas @param {number} number of the screen @param {string} locusName @param {At} at @param {Mutant[]} lit @returns {Promise<DrawnMap>} */
async function mapOf(atlas, number, locusName, at, lit) {
  const screen = atlas.screens[number];
  const [locus, table] = await Promise.all([data.locus(number, locusName), at.colour === "cosine" && screen.severity ? data.phenotypes(number) : null]);
  const known = modes(screen, table);
  const name = known[at.colour] ? at.colour : "status";
  const mode = known[name];
  const values = mode.of ? valuesOf(locus, mode, at.mutation) : new Float32Array(0);
  const range = extent(values);
  const limit = at.limit !== undefined ? Number(at.limit) : mode.keep === "high" ? range[0] : range[1];
  const status = statuses(locus);
  const pixels = paintSites(atlas, locus, mode, values, range, limit, at.palette);
  const line = parseLine(at.line);
  const { transposed } = /** @type {Locus} */ (screen.loci.find((l) => l.name === locusName));
  return {
    locus, locusName, screen, status, pixels, values, range, limit, mode, name, modes: known, mutation: at.mutation, order: at.order,
    counts: [0, 1, 2, 3, 4].map((value) => status.filter((s) => s === value).length),
    rows: locus.rows, cols: locus.cols, transposed, title: `${screen.label} (${screen.title})`, label: `Map of ${locusName}, ${screen.title}`,
    rowOrder: at.order === "copa-row" ? locus.arrays["row.order"] : plain(locus.rows),
    colOrder: at.order === "copa-col" ? locus.arrays["col.order"] : plain(locus.cols),
    rowTrack: trackOf(status, locus, "row"), colTrack: trackOf(status, locus, "col"), colours: statusColours(atlas, at.palette),
    screened: box(status, locus),
    marks: lit.filter((m) => m.locus === locusName),
    line: line?.kind === locusName.slice(locusName.indexOf(".") + 1) ? line : null,
  };
}

/** The rows and columns that hold all screened sites. @param {Uint8Array} status @param {LocusPage} page */
function box(status, { rows, cols }) {
  const found = { top: rows, bottom: 0, left: cols, right: 0 };
  for (let i = 0; i < status.length; i++) {
    if (!status[i]) continue;
    const [row, col] = [Math.floor(i / cols), i % cols];
    Object.assign(found, { top: Math.min(found.top, row), bottom: Math.max(found.bottom, row + 1), left: Math.min(found.left, col), right: Math.max(found.right, col + 1) });
  }
  return found;
}

/** @param {DrawnMap} map @param {number} row @param {number} col */
function told(map, row, col) {
  const i = row * map.cols + col;
  const parts = [`row ${row}, column ${col}`];
  for (const [mutation, m] of Object.entries(map.locus.of)) {
    if (!m.state?.[i]) continue;
    const where = m.divergence[i] >= 0 ? ` from token ${m.divergence[i]}` : "";
    parts.push(`${mutation}: ${m.state[i] & data.NSM ? `NSM${where}` : "silent"}${m.state[i] & data.PREDICTED ? ` (predicted${m.chance ? `, ${(m.chance[i] / 2.55).toFixed(0)} %` : ""})` : ""}`);
  }
  if (parts.length === 1) parts.push("not screened");
  if (map.mode.of && !Number.isNaN(map.values[i])) parts.push(`${map.mode.word} ${map.mode.shown(map.values[i])}`);
  parts.push(lineInWords("row", map.rowTrack, row), lineInWords("column", map.colTrack, col));
  const norm = map.colTrack.norm?.[col] ?? 0;
  if (norm > 0) parts.push(`input norm ${norm.toPrecision(3)}`);
  if (guessed(map.locus, i)) parts.push("not run");
  return parts.join(" · ");
}

/** @param {DrawnMap} map @param {number} number of the screen @param {number} row @param {number} col */
function pick(map, number, row, col) {
  const i = row * map.cols + col;
  const called = Object.entries(map.locus.of).filter(([, m]) => m.state?.[i]);
  if (!called.length) return;
  const first = called.find(([name]) => name === map.mutation) ?? called.find(([, m]) => m.state[i] & data.NSM) ?? called[0];
  go({ screen: String(number), mutant: `${map.locusName}:${row},${col}:${first[0]}`, phenotype: null });
}
