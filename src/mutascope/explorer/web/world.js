// The whole model on one plane: where each locus lies, in sites, and its picture at any resolution.

import { blockColour, PALE, paler, rgb, sequential, statusColours } from "./colours.js";
import { el, pen } from "./dom.js";

/** @import { Atlas, Colour, Flat, Line, Locus, LocusMode, Arrays, Screen, Values, World } from "./types.d.ts" */

/** Down and across. @param {Locus} l */
export const drawnSize = (l) => (l.transposed ? [l.cols, l.rows] : [l.rows, l.cols]);
/** @param {Locus} l */
export const screened = (l) => l.counts[1] + nsms(l);
/** @param {Locus} l */
export const nsms = (l) => l.counts[2] + l.counts[3] + l.counts[4];
/** Whether some loci were run whole, and others predicted: only then do colours tell them apart. @param {Screen} screen */
export const mixed = (screen) => screen.loci.some((l) => l.exact < screened(l)) && screen.loci.some((l) => l.exact && l.exact === screened(l));
/** Where a line lies on a map as it is drawn: left, top, width and height in sites. @param {Line} line @param {{ rows: number, cols: number, transposed: boolean }} map @returns {number[]} */
export function lineBox({ axis, index }, { rows, cols, transposed }) {
  const [down, across] = transposed ? [cols, rows] : [rows, cols];
  return (axis === "row") === transposed ? [index, 0, 1, down] : [0, index, across, 1];
}

const GAP = 0.035; // between loci, of the width of a layer
const LABEL = 0.045; // left of the layers and above the kinds

/** Places of the loci in blocks of layers side by side, as many as make them largest in a box of this size. @param {Screen} screen @param {number} width @param {number} height @returns {World} */
export function layout(screen, width, height) {
  const kinds = [...new Set(screen.loci.map((l) => l.kind))];
  const layers = [...new Set(screen.loci.map((l) => l.layer))];
  const across = kinds.map((kind) => Math.max(...screen.loci.filter((l) => l.kind === kind).map((l) => drawnSize(l)[1])));
  const down = Math.max(...screen.loci.map((l) => drawnSize(l)[0]));
  const bare = across.reduce((a, b) => a + b, 0);
  const gap = Math.max(1, Math.min(bare * GAP, down * 0.12));
  const label = Math.max(2, bare * LABEL);
  const block = label + bare + gap * kinds.length;
  const sizeOf = (/** @type {number} */ blocks) => [blocks * block + (blocks - 1) * 2 * gap, label + Math.ceil(layers.length / blocks) * (down + gap)];
  const scaleOf = (/** @type {number} */ blocks) => Math.min(width / sizeOf(blocks)[0], height / sizeOf(blocks)[1]);
  const blocks = layers.map((_, i) => i + 1).reduce((best, n) => (scaleOf(n) > scaleOf(best) * 1.001 ? n : best), 1);
  const perBlock = Math.ceil(layers.length / blocks);
  const xOf = kinds.map((_, i) => label + across.slice(0, i).reduce((a, b) => a + b, 0) + gap * i);
  const places = screen.loci.map((l) => {
    const at = layers.indexOf(l.layer);
    const kind = kinds.indexOf(l.kind);
    const [high, wide] = drawnSize(l);
    const x = Math.floor(at / perBlock) * (block + 2 * gap) + xOf[kind] + (across[kind] - wide) / 2;
    return { l, x, y: label + (at % perBlock) * (down + gap), high, wide };
  });
  const labels = {
    kinds: Array.from({ length: blocks }, (_, b) => kinds.map((text, i) => ({ text, x: b * (block + 2 * gap) + xOf[i] + across[i] / 2, y: label }))).flat(),
    layers: layers.map((text, at) => ({ text: String(text), x: Math.floor(at / perBlock) * (block + 2 * gap) + label, y: label + (at % perBlock) * (down + gap) + down / 2 })),
  };
  return { places, labels, kinds, layers, size: sizeOf(blocks), scale: scaleOf(blocks) };
}

/** Pictures of the loci by level of the pyramid, drawn once. */
export class Pictures {
  /** @type {Map<string, HTMLCanvasElement>} */
  known = new Map();

  /** @param {Atlas} atlas @param {Screen} screen @param {Arrays} arrays @param {string} palette */
  constructor(atlas, screen, arrays, palette) {
    this.arrays = arrays;
    this.mixed = mixed(screen);
    this.colours = statusColours(atlas, palette);
  }

  /**
   * The picture whose cells are not smaller than a pixel of the screen, and how many sites a cell is wide.
   * @param {Locus} l @param {number} scale @returns {[HTMLCanvasElement, number]}
   */
  of(l, scale) {
    const has = (/** @type {number} */ level) => this.arrays[`${l.name}/${level}`];
    let finest = 0;
    while (!has(finest)) finest++;
    let level = Math.max(finest, Math.ceil(Math.log2(1 / (scale * (devicePixelRatio || 1)))));
    while (!has(level)) level--;
    const key = `${l.name}/${level}`;
    const picture = this.known.get(key) ?? this.paint(l, this.arrays[key]);
    this.known.set(key, picture);
    return [picture, 2 ** level];
  }

  /** @param {Locus} l @param {Values} cells */
  paint(l, cells) {
    const [rows, cols, several] = cells.shape;
    const colours = this.mixed && l.exact < screened(l) ? paler(this.colours, PALE.locus) : this.colours;
    const [height, width] = l.transposed ? [cols, rows] : [rows, cols];
    const image = new ImageData(width, height);
    for (let at = 0; at < rows * cols; at++) {
      const to = 4 * (l.transposed ? (at % cols) * width + Math.floor(at / cols) : at);
      const colour = several ? blockColour(cells, at * several, colours) : colours[cells[at]];
      image.data[to] = colour[0];
      image.data[to + 1] = colour[1];
      image.data[to + 2] = colour[2];
      image.data[to + 3] = 255;
    }
    const canvas = el("canvas", { width, height });
    pen(canvas).putImageData(image, 0, 0);
    return canvas;
  }
}

/** Ways to colour a whole locus by one number. @type {Record<string, LocusMode>} */
export const MODES = {
  status: { word: "status of the sites" },
  rate: { word: "share of NSM sites", of: (l) => screened(l) && nsms(l) / screened(l), percent: true },
  bias: { word: "share of max among one-sided", of: (l) => (l.counts[2] + l.counts[3] ? l.counts[2] / (l.counts[2] + l.counts[3]) : NaN), percent: true },
  both: { word: "share of both among NSM sites", of: (l) => (nsms(l) ? l.counts[4] / nsms(l) : NaN), percent: true },
  enriched: { word: "enriched rows and columns", of: (l) => l.enriched },
  phenotypes: { word: "distinct phenotypes", of: (l) => l.phenotypes },
  strangeness: { word: "strangeness (1 - mean cosine)", of: (l) => (l.cosine === null ? NaN : 1 - l.cosine) },
  exact: { word: "share that was run", of: (l) => screened(l) && l.exact / screened(l), percent: true },
};

/** Colour of every locus in a mode with one number each, and the ends of the scale. @param {Screen} screen @param {(l: Locus) => number} value @returns {Flat} */
export function flatColours(screen, value) {
  const values = screen.loci.map(value);
  const finite = values.filter((each) => !Number.isNaN(each));
  const [low, high] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
  const blank = getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
  const colours = values.map((each) => (Number.isNaN(each) ? rgb(blank) : sequential((each - low) / (high - low || 1))));
  return { values, low, high, colours: new Map(screen.loci.map((l, i) => [l.name, colours[i]])) };
}
