// What a site of a locus can be coloured by: numbers and identities of its mutants.

import { identity, PALE, paler, sequential, statusColours } from "./colours.js";
import { NONE, NSM, PREDICTED } from "./data.js";

/** @import { Arrays, Atlas, Colour, LocusPage, Mode, Packed, Screen } from "./types.d.ts" */

/** @param {number} v */
const two = (v) => v.toFixed(2);
/** @param {number} v */
const short = (v) => (Number.isInteger(v) ? String(v) : two(v));
const FALLING = ["score", "silence"]; // measures that are low far from the wild type

/** The ways to colour a locus, by name. @param {Screen} screen @param {Packed | null} table */
export function modes(screen, table) {
  const cosine = table?.arrays.cosine;
  /** @type {Record<string, Mode>} */
  const found = { status: { word: "status", keep: "low", shown: String }, divergence: { word: "first divergence", of: (m, i) => (m.divergence[i] < 0 ? NaN : m.divergence[i]), keep: "low", shown: (v) => String(Math.round(v)) } };
  if (screen.severity) found.cosine = { word: "cosine with the wild type", of: (m, i) => (spoken(m, i) < NONE && cosine ? cosine[spoken(m, i)] : NaN), keep: "low", flipped: true, shown: two };
  if (screen.phenotypes) found.phenotype = { word: "phenotype, by frequency", of: (m, i) => (spoken(m, i) < NONE ? spoken(m, i) : NaN), keep: "low", identity: true, shown: (v) => `#${Math.round(v) + 1}` };
  if (screen.predicted) {
    found.chance = { word: "predicted chance of an NSM", of: (m, i) => (m.state[i] && m.chance ? m.chance[i] / 255 : NaN), keep: "high", silent: true, shown: two };
    found.source = { word: "run or predicted", of: (m, i) => (m.state[i] ? (m.state[i] & PREDICTED ? 0 : 1) : NaN), keep: "high", silent: true, shown: (v) => (v ? "run" : "predicted") };
  }
  for (const name of screen.measures) found[name] = { word: name, of: (m, i) => m[name]?.[i] ?? NaN, keep: "low", flipped: FALLING.includes(name), silent: true, shown: short };
  return found;
}

/** Number of the phenotype of a mutant. @param {Arrays} m @param {number} i */
const spoken = (m, i) => m.phenotype?.[i] ?? NONE;

/** Status of every site by max and min, as in the store: 0 unscreened, 1 silent, 2 max only, 3 min only, 4 both. @param {LocusPage} locus */
export function statuses(locus) {
  const status = new Uint8Array(locus.rows * locus.cols);
  for (const [mutation, amount] of Object.entries({ max: 1, min: 2 })) {
    locus.of[mutation]?.state?.forEach((/** @type {number} */ state, /** @type {number} */ i) => {
      if (state) status[i] = (status[i] || 1) + (state & NSM ? amount : 0);
    });
  }
  return status;
}

/** Whether no mutant of a site was run, although some are called. @param {LocusPage} locus @param {number} i */
export function guessed(locus, i) {
  return Object.values(locus.of).some((m) => (m.state?.[i] ?? 0) & PREDICTED);
}

/** A number per site: of one mutation, or with `any` the most extreme of all; NaN where there is none. @param {LocusPage} locus @param {Mode} mode @param {string} mutation */
export function valuesOf(locus, mode, mutation) {
  const among = (mutation === "any" ? Object.values(locus.of) : [locus.of[mutation]]).filter((m) => m?.state);
  const pick = mode.keep === "high" ? Math.max : Math.min;
  const values = new Float32Array(locus.rows * locus.cols).fill(NaN);
  for (const m of among) {
    for (let i = 0; i < values.length; i++) {
      if (!m.state[i] || (!mode.silent && !(m.state[i] & NSM))) continue;
      const value = mode.of?.(m, i) ?? NaN;
      if (!Number.isNaN(value)) values[i] = Number.isNaN(values[i]) ? value : pick(values[i], value);
    }
  }
  return values;
}

/** Lowest and highest of the values. @param {Float32Array} values */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low > high ? [0, 1] : [low, high];
}

/** Whether a threshold keeps a value. @param {Mode} mode @param {number} value @param {number} limit */
export const kept = (mode, value, limit) => (mode.keep === "high" ? value >= limit : value <= limit);

/**
 * Colour of every site, [red, green, blue] each.
 * @param {Atlas} atlas @param {LocusPage} locus @param {Mode} mode @param {Float32Array} values @param {number[]} range @param {number} limit @param {string} palette
 */
export function paintSites(atlas, locus, mode, values, range, limit, palette) {
  const colours = statusColours(atlas, palette);
  const predicted = paler(colours, PALE.site);
  const status = statuses(locus);
  const pixels = new Uint8ClampedArray(3 * status.length);
  for (let i = 0; i < status.length; i++) {
    let colour = colours[Math.min(status[i], 1)];
    if (!mode.of) colour = (guessed(locus, i) ? predicted : colours)[status[i]];
    else if (!Number.isNaN(values[i]) && kept(mode, values[i], limit)) colour = mode.identity ? identity(values[i]) : shade(mode, values[i], range);
    pixels.set(colour, 3 * i);
  }
  return pixels;
}

/** What stands out is what is far from the wild type: a low cosine, or else a large number. @param {Mode} mode @param {number} value @param {number[]} range */
function shade({ flipped }, value, [low, high]) {
  const part = (value - low) / (high - low || 1);
  return sequential(flipped ? 1 - part : part);
}
