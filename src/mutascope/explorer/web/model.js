// The whole model: layers by kinds, each locus its map, to scale; zooming in goes over into the map of a locus.

import { css, dark, PALE, paler, sequential, statusColours, STATUSES, STATUS_WORDS } from "./colours.js";
import * as data from "./data.js";
import { choice, count, counted, el, pen, ringed, share, swatch } from "./dom.js";
import { Plane } from "./plane.js";
import { address, go, note, parseLine } from "./state.js";
import { flatColours, layout, lineBox, mixed, MODES, nsms, Pictures, screened } from "./world.js";

/** @import { At, Atlas, Flat, Line, Locus, Mutant, Place, Screen, World } from "./types.d.ts" */

const ENTER = 0.75; // of the size that the map of a locus has on its own, at which a zoom goes over into it

/** @param {Atlas} atlas @param {At} at @param {Mutant[]} lit */
export async function modelView(atlas, at, lit) {
  const screen = atlas.screens[Number(at.screen)];
  const { arrays } = await data.overview(at.screen);
  const mode = MODES[at.colour] ? at.colour : "status";
  const { of, percent } = MODES[mode];
  const flat = of ? flatColours(screen, of) : null;
  const shown = (/** @type {number} */ v) => (percent ? share(v, 1) : Number.isInteger(v) ? count(v) : v.toFixed(2));
  const map = new ModelMap(screen, at, lit, new Pictures(atlas, screen, arrays, at.palette), flat, shown);
  return el("section", { class: "model" }, el("h2", {}, screen.title), headline(screen),
    el("div", { class: "controls" },
      choice("colour", Object.entries(MODES).map(([key, { word }]) => [key, word]), mode, (colour) => go({ colour })),
      flat ? scaleLegend(flat.low, flat.high, { shown }) : statusLegend(atlas, at.palette, null, mixed(screen) ? PALE.locus : 0),
      lit.length ? el("output", { id: "lit" }, `${count(lit.length)} mutants say the same: circles`) : null,
      map.line ? lineTag(map.line) : null,
      el("button", { type: "button", name: "all", onclick: () => go({ cam: null }) }, "show all")),
    map.frame, map.tip);
}

class ModelMap {
  /** @type {World | null} */
  world = null;
  /** Where each locus is, by name. @type {Map<string, Place>} */
  places = new Map();
  hint = "the wheel zooms, as far as a single site; arrow keys move from locus to locus, Enter opens one";

  /** @param {Screen} screen @param {At} at @param {Mutant[]} lit @param {Pictures} pictures @param {Flat | null} flat @param {(value: number) => string} shown */
  constructor(screen, at, lit, pictures, flat, shown) {
    this.screen = screen;
    this.at = at;
    this.pictures = pictures;
    this.flat = flat;
    this.shown = shown;
    this.lit = Map.groupBy(lit, ({ locus }) => locus);
    this.line = parseLine(at.line);
    this.canvas = el("canvas", { class: "plane", "aria-hidden": "true" });
    this.links = new Map(screen.loci.map((l, i) => [l.name, this.link(l, i === 0)]));
    this.frame = el("div", { class: "frame", role: "group", "aria-label": "Loci, layers by kinds" }, this.canvas, ...this.links.values());
    this.tip = el("p", { class: "tip", "aria-live": "polite" }, this.hint);
    this.plane = new Plane(this.frame, { draw: () => this.draw(), moved: () => this.noteCamera(), zoomed: (factor, x, y) => factor > 1 && this.enterAt(x, y) });
    this.frame.addEventListener("pointermove", (event) => this.point(event));
    this.frame.addEventListener("pointerleave", () => { this.tip.textContent = this.hint; });
    this.frame.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(this.frame);
  }

  /** @param {Locus} l @param {boolean} first */
  link(l, first) {
    const told = `${l.name}: ${count(nsms(l))} of ${count(screened(l))} sites are NSM, ${counted(l.phenotypes, "phenotype")}`;
    const { word, of } = MODES[this.at.colour] ?? MODES.status;
    const value = of ? ` · ${word}: ${this.shown(of(l))}` : "";
    return el("a", { href: address({ view: "locus", locus: l.name, colour: null, cam: null }), class: "locus", "aria-label": told + value, "data-locus": l.name, tabindex: first ? 0 : -1, draggable: "false",
      onfocus: () => { this.tip.textContent = told + value; this.reveal(l); } });
  }

  resize() {
    if (!this.plane.width) return;
    const ratio = devicePixelRatio || 1;
    Object.assign(this.canvas, { width: this.plane.width * ratio, height: this.plane.height * ratio });
    const world = this.world = layout(this.screen, this.plane.width - 24, this.plane.height - 16);
    this.places = new Map(world.places.map((place) => [place.l.name, place]));
    this.plane.fit(world.size.map((side, i) => side + [24, 16][i] / world.scale));
    this.plane.centre(world.size[0] / 2, world.size[1] / 2);
    const [name, x, y, scale] = (this.at.cam ?? "").split(",");
    const place = this.places.get(name);
    if (place && +scale > 0) this.plane.centre(place.x + +x, place.y + +y, +scale);
  }

  noteCamera() {
    const { x, y, width, height, scale } = this.plane;
    const [cx, cy] = [x + width / 2 / scale, y + height / 2 / scale];
    const distance = (/** @type {Place} */ p) => Math.hypot(p.x + p.wide / 2 - cx, p.y + p.high / 2 - cy);
    const near = [...this.places.values()].reduce((best, p) => (distance(p) < distance(best) ? p : best));
    this.at.cam = [near.l.name, (cx - near.x).toFixed(1), (cy - near.y).toFixed(1), scale.toFixed(2)].join();
    note({ cam: this.at.cam });
  }

  /** Go over into the map of a locus once it is about as large as that. @param {number} x @param {number} y */
  enterAt(x, y) {
    const place = this.under(x, y);
    const { width, height, scale } = this.plane;
    if (!place || scale < ENTER * Math.min(width / place.wide, height / place.high, 40)) return;
    const [u, v] = [this.plane.x + width / 2 / scale - place.x, this.plane.y + height / 2 / scale - place.y];
    go({ view: "locus", locus: place.l.name, colour: null, cam: [u.toFixed(1), v.toFixed(1), scale.toFixed(2)].join() });
  }

  /** @param {number} x @param {number} y */
  under(x, y) {
    return [...this.places.values()].find((p) => x >= p.x && y >= p.y && x < p.x + p.wide && y < p.y + p.high);
  }

  /** @param {PointerEvent} event */
  point(event) {
    const box = this.frame.getBoundingClientRect();
    const [x, y] = [this.plane.x + (event.clientX - box.left) / this.plane.scale, this.plane.y + (event.clientY - box.top) / this.plane.scale];
    const place = this.under(x, y);
    if (!place) { this.tip.textContent = this.hint; return; }
    const [v, u] = [Math.floor(y - place.y), Math.floor(x - place.x)];
    const [row, col] = place.l.transposed ? [u, v] : [v, u];
    const status = this.pictures.arrays[`${place.l.name}/0`]?.[row * place.l.cols + col];
    const site = status === undefined ? "" : ` · row ${row}, column ${col}: ${STATUS_WORDS[STATUSES[status]]}`;
    this.tip.textContent = this.links.get(place.l.name)?.getAttribute("aria-label") + site;
  }

  /** Move the view so far that a locus is in it. @param {Locus} l */
  reveal(l) {
    const place = this.places.get(l.name);
    if (!place) return;
    const { x, y, width, height, scale } = this.plane;
    const inside = place.x >= x && place.y >= y && place.x + place.wide <= x + width / scale && place.y + place.high <= y + height / scale;
    if (!inside) this.plane.centre(place.x + place.wide / 2, place.y + place.high / 2);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    /** @type {Record<string, [number, number]>} */
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key === "+" || event.key === "=") this.plane.zoom(1.25);
    else if (event.key === "-") this.plane.zoom(0.8);
    else if (event.key === "0") go({ cam: null });
    else if (steps[event.key]) this.step(...steps[event.key]);
    else return;
    event.preventDefault();
  }

  /** Focus the next locus that way. @param {number} down @param {number} across */
  step(down, across) {
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.locus : undefined;
    const from = this.places.get(focused ?? this.screen.loci[0].name);
    if (!this.world || !from) return;
    const { l } = from;
    const { layers, kinds } = this.world;
    let [layer, kind] = [layers.indexOf(l.layer) + down, kinds.indexOf(l.kind) + across];
    while (layers[layer] !== undefined && kinds[kind] !== undefined) {
      const next = this.links.get(`${layers[layer]}.${kinds[kind]}`);
      if (next) {
        for (const link of this.links.values()) link.tabIndex = link === next ? 0 : -1;
        next.focus({ preventScroll: true });
        return;
      }
      [layer, kind] = [layer + down, kind + across];
    }
  }

  draw() {
    const { x, y, width, height, scale } = this.plane;
    const context = pen(this.canvas);
    const ratio = devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    for (const place of this.places.values()) {
      /** @type {[number, number, number, number]} */
      const box = [(place.x - x) * scale, (place.y - y) * scale, place.wide * scale, place.high * scale];
      const link = this.links.get(place.l.name);
      const seen = box[0] < width && box[1] < height && box[0] + box[2] > 0 && box[1] + box[3] > 0;
      if (link) Object.assign(link.style, { left: `${box[0]}px`, top: `${box[1]}px`, width: `${box[2]}px`, height: `${box[3]}px`, visibility: seen ? "visible" : "hidden" });
      if (seen) this.drawLocus(context, place, box, scale);
    }
    if (this.world) this.drawLabels(context, this.world.labels);
  }

  /** @param {CanvasRenderingContext2D} context @param {Place} place @param {[number, number, number, number]} box @param {number} scale */
  drawLocus(context, { l }, box, scale) {
    if (this.flat) {
      context.fillStyle = css(this.flat.colours.get(l.name) ?? []);
      context.fillRect(...box);
    } else {
      const [picture, sites] = this.pictures.of(l, scale);
      context.save();
      context.beginPath();
      context.rect(...box);
      context.clip();
      context.imageSmoothingEnabled = sites * scale < 3;
      context.drawImage(picture, box[0], box[1], picture.width * sites * scale, picture.height * sites * scale);
      context.restore();
    }
    if (this.line?.kind === l.kind) {
      const [left, top, wide, high] = lineBox(this.line, l).map((sites) => sites * scale);
      context.beginPath();
      context.rect(box[0] + left - 2, box[1] + top - 2, wide + 4, high + 4);
      ringed(context, "#d6006c", 0.75);
    }
    for (const { row, col } of this.lit.get(l.name) ?? []) {
      const [v, u] = l.transposed ? [col, row] : [row, col];
      context.beginPath();
      context.arc(box[0] + (u + 0.5) * scale, box[1] + (v + 0.5) * scale, Math.max(4, scale * 0.7), 0, 2 * Math.PI);
      ringed(context, "#d6006c");
    }
  }

  /** Kinds above and layers left of their block, or at the edge where that is out of sight. @param {CanvasRenderingContext2D} context @param {World["labels"]} labels */
  drawLabels(context, { kinds, layers }) {
    const { x, y, width, height, scale } = this.plane;
    Object.assign(context, { fillStyle: dark() ? "#c3ccd8" : "#3c4450", font: "600 12px system-ui, sans-serif", textAlign: "center", textBaseline: "bottom" });
    const tag = (/** @type {string} */ text, /** @type {number} */ left, /** @type {number} */ top) => {
      if (left < 0 || left > width || top < 0 || top > height) return;
      context.fillText(text, left, top);
    };
    for (const { text, x: lx, y: ly } of kinds) tag(text, (lx - x) * scale, Math.max((ly - y) * scale - 5, 14));
    Object.assign(context, { textAlign: "right", textBaseline: "middle", font: "12px system-ui, sans-serif" });
    for (const { text, x: lx, y: ly } of layers) tag(text, Math.max((lx - x) * scale - 6, 18), (ly - y) * scale);
  }
}

/** @param {Screen} screen */
function headline(screen) {
  const sum = (/** @type {(l: Locus) => number} */ of) => screen.loci.reduce((all, l) => all + of(l), 0);
  const facts = [`${count(screen.done)} mutants run`, `${count(sum(screened))} sites`, `${share(sum(nsms), sum(screened))} NSM sites`];
  if (screen.phenotypes) facts.push(counted(screen.phenotypes, "phenotype"));
  if (screen.predicted) facts.splice(1, 0, `PREDICTED where not run (${share(sum((l) => l.exact), sum(screened))} of sites run)`);
  if (!screen.finished && !screen.predicted) facts.push(`unfinished: ${share(screen.done, screen.total)}`);
  return el("p", { class: "quiet" }, facts.join(" · "));
}

/** Colours of the statuses, with their counts where given; and how what was run is told from what is predicted. @param {Atlas} atlas @param {string} palette @param {number[] | null} counts */
export function statusLegend(atlas, palette, counts, pale = 0) {
  const colours = statusColours(atlas, palette);
  return el("ul", { class: "legend" },
    STATUSES.map((status, i) => el("li", { "data-status": status }, swatch(css(colours[i])), STATUS_WORDS[status], counts && el("b", {}, ` ${count(counts[i])}`))),
    pale ? el("li", { "data-legend": "predicted" }, swatch(css(paler(colours, pale)[3])), "paler: predicted, not run") : null);
}

/** @param {number} low @param {number} high @param {{ shown: (value: number) => string, flipped?: boolean }} mode */
export function scaleLegend(low, high, { shown, flipped }) {
  const bar = el("canvas", { width: 96, height: 1, class: "bar", "aria-hidden": "true" });
  const context = pen(bar);
  for (let x = 0; x < 96; x++) {
    context.fillStyle = css(sequential(flipped ? 1 - x / 95 : x / 95));
    context.fillRect(x, 0, 1, 1);
  }
  return el("span", { class: "legend" }, shown(low), bar, shown(high));
}

/** A line in words, and a way to see the map without it. @param {Line} line */
export const lineTag = ({ axis, index, kind }) => el("a", { id: "line", href: address({ line: null }), title: "show it no more" }, `${axis === "row" ? "row" : "column"} ${index} of ${kind} ×`);
