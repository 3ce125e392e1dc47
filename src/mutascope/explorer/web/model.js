// The whole model: layers by kinds, each locus its map, to scale.

import { blockColour, css, mix, sequential, statusColours, STATUSES, STATUS_WORDS } from "./colours.js";
import * as data from "./data.js";
import { choice, count, el, share } from "./dom.js";
import { address, go } from "./state.js";

const GAP = 10;
const MODES = {
  status: { word: "status of the sites" },
  rate: { word: "NSM sites", of: (l) => screened(l) && nsms(l) / screened(l), shown: (v) => share(v, 1) },
  bias: { word: "share of max among one-sided", of: (l) => (l.counts[2] + l.counts[3]) && l.counts[2] / (l.counts[2] + l.counts[3]), shown: (v) => share(v, 1) },
  both: { word: "both among NSM sites", of: (l) => nsms(l) && l.counts[4] / nsms(l), shown: (v) => share(v, 1) },
  phenotypes: { word: "distinct phenotypes", of: (l) => l.phenotypes, shown: (v) => count(v) },
  strangeness: { word: "strangeness (1 - mean cosine)", of: (l) => (l.cosine === null ? 0 : 1 - l.cosine), shown: (v) => v.toFixed(2) },
  exact: { word: "share that was run", of: (l) => screened(l) && l.exact / screened(l), shown: (v) => share(v, 1) },
};
const screened = (l) => l.counts[1] + nsms(l);
const nsms = (l) => l.counts[2] + l.counts[3] + l.counts[4];
export const drawnSize = (l) => (l.transposed ? [l.cols, l.rows] : [l.rows, l.cols]); // down, across

export async function modelView(atlas, at, lit) {
  const screen = atlas.screens[at.screen];
  const pyramid = await data.overview(at.screen);
  const kinds = [...new Set(screen.loci.map((l) => l.kind))];
  const layers = [...new Set(screen.loci.map((l) => l.layer))];
  const mode = MODES[at.colour] ? at.colour : "status";
  const widths = kinds.map((kind) => Math.max(...screen.loci.filter((l) => l.kind === kind).map((l) => drawnSize(l)[1])));
  const room = document.getElementById("main").clientWidth - 110 - GAP * kinds.length;
  const scale = Number(at.zoom ?? 1) * Math.min(room / widths.reduce((a, b) => a + b, 0), 6);
  const values = MODES[mode].of ? screen.loci.map(MODES[mode].of) : [];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const picture = (l, i) => (values.length ? flat(l, (values[i] - low) / (high - low || 1)) : blocks(atlas, l, finest(pyramid.arrays, l.name), at.palette));
  const grid = el("div", { class: "grid", role: "group", "aria-label": "Loci, layers by kinds" });
  grid.style.gridTemplateColumns = `auto ${widths.map((w) => `${Math.ceil(w * scale)}px`).join(" ")}`;
  grid.append(el("span"), ...kinds.map((kind) => el("span", { class: "kind" }, kind)));
  for (const layer of layers) {
    grid.append(el("span", { class: "layer" }, String(layer)));
    for (const kind of kinds) {
      const i = screen.loci.findIndex((l) => l.layer === layer && l.kind === kind);
      grid.append(i < 0 ? el("span") : cell(at, screen.loci[i], picture(screen.loci[i], i), scale, lit));
    }
  }
  return el("section", { class: "model" }, el("h2", {}, screen.title), headline(screen),
    el("div", { class: "controls" },
      choice("colour", Object.entries(MODES).map(([key, { word }]) => [key, word]), mode, (colour) => go({ colour })),
      el("label", { class: "control" }, el("span", {}, "zoom"), el("input", {
        type: "range", min: 0.3, max: 4, step: 0.05, value: at.zoom ?? 1, onchange: (event) => go({ zoom: event.target.value }, true) })),
      values.length ? scaleLegend(low, high, MODES[mode].shown) : statusLegend(atlas, at.palette)),
    grid);
}

/** The finest level of a pyramid that the overview has. */
function finest(arrays, name) {
  let level = 0;
  while (!arrays[`${name}/${level}`]) level++;
  return arrays[`${name}/${level}`];
}

function headline(screen) {
  const sum = (of) => screen.loci.reduce((all, l) => all + of(l), 0);
  const facts = [`${count(screen.done)} mutants run`, `${count(sum(screened))} sites`, `${share(sum(nsms), sum(screened))} NSM sites`, `${count(screen.phenotypes)} phenotypes`];
  if (screen.predicted) facts.splice(1, 0, `PREDICTED where not run (${share(sum((l) => l.exact), sum(screened))} of sites run)`);
  if (!screen.finished && !screen.predicted) facts.push(`unfinished: ${share(screen.done, screen.total)}`);
  return el("p", { class: "quiet" }, facts.join(" · "));
}

function cell(at, l, canvas, scale, lit) {
  const [down, across] = drawnSize(l);
  canvas.style.width = `${across * scale}px`;
  canvas.style.height = `${down * scale}px`;
  const told = `${l.name}: ${count(nsms(l))} of ${count(screened(l))} sites are NSM, ${count(l.phenotypes)} phenotypes`;
  const link = el("a", { href: address({ view: "locus", locus: l.name, colour: null }), class: "locus", title: told, "aria-label": told, "data-locus": l.name }, canvas);
  for (const { row, col } of lit.filter((mutant) => mutant.locus === l.name)) {
    const dot = el("i", { class: "lit" });
    const [y, x] = l.transposed ? [col, row] : [row, col];
    dot.style.left = `${(x + 0.5) * scale}px`;
    dot.style.top = `${(y + 0.5) * scale}px`;
    link.append(dot);
  }
  return link;
}

function blocks(atlas, l, pixels, palette) {
  const [rows, cols, several] = pixels.shape;
  const guess = l.exact < screened(l) ? 0.28 : 0; // lighter where most is predicted
  const colours = statusColours(atlas, palette);
  const lighter = colours.map((colour) => mix(colour, colours[1], guess));
  return paint(l, rows, cols, several ? (at) => blockColour(pixels, at * several, lighter) : (at) => lighter[pixels[at]]);
}

function flat(l, part) {
  const colour = sequential(part);
  return paint({ transposed: false }, 1, 1, () => colour);
}

/** A canvas with a pixel per cell; `colour` is given row * cols + col. */
function paint(l, rows, cols, colour) {
  const [height, width] = l.transposed ? [cols, rows] : [rows, cols];
  const canvas = el("canvas", { width, height, "aria-hidden": "true" });
  const image = new ImageData(width, height);
  for (let at = 0; at < rows * cols; at++) {
    const to = 4 * (l.transposed ? (at % cols) * width + Math.floor(at / cols) : at);
    const [red, green, blue] = colour(at);
    image.data[to] = red;
    image.data[to + 1] = green;
    image.data[to + 2] = blue;
    image.data[to + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

export function statusLegend(atlas, palette, counts = null) {
  const colours = statusColours(atlas, palette);
  return el("ul", { class: "legend" }, STATUSES.map((status, i) => {
    const swatch = el("i", { class: "swatch" });
    swatch.style.background = css(colours[i]);
    return el("li", { "data-status": status }, swatch, STATUS_WORDS[status], counts && el("b", {}, ` ${count(counts[i])}`));
  }));
}

export function scaleLegend(low, high, shown) {
  const bar = el("canvas", { width: 96, height: 1, class: "bar", "aria-hidden": "true" });
  const context = bar.getContext("2d");
  for (let x = 0; x < 96; x++) {
    context.fillStyle = css(sequential(x / 95));
    context.fillRect(x, 0, 1, 1);
  }
  return el("span", { class: "legend" }, shown(low), bar, shown(high));
}
