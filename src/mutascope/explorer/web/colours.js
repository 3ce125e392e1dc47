// Colours of statuses and magnitudes, by palette and theme, as [red, green, blue].

/** @import { Atlas, Colour, Values } from "./types.d.ts" */

export const STATUSES = ["unscreened", "silent", "max_only", "min_only", "both"];
/** @type {Record<string, string>} */
export const STATUS_WORDS = { unscreened: "not screened", silent: "silent", max_only: "max only", min_only: "min only", both: "both" };
/** @type {Record<string, Record<string, string>>} */
const DARK = { // on a dark ground paper white is ground, and ink is white
  colourblind: { unscreened: "#0e1116", silent: "#262c36", max_only: "#f0a830", min_only: "#56b4e9", both: "#ffffff" },
  paper: { unscreened: "#0e1116", silent: "#262c36", max_only: "#ff5a52", min_only: "#6c8cff", both: "#3fd067" },
};
const LIGHT_GROUND = { unscreened: "#eef0f3", silent: "#ffffff" };
const VIRIDIS = ["#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725"].map(rgb);

export const dark = () => document.documentElement.dataset.theme === "dark";

/** @param {string} hex @returns {Colour} */
export function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** @param {Colour} colour */
export const css = (colour) => `rgb(${colour.map(Math.round).join(" ")})`;
/** @param {Colour} a @param {Colour} b @param {number} part @returns {Colour} */
export const mix = (a, b, part) => a.map((value, i) => value + (b[i] - value) * part);

/** Colours of the statuses, in the order of STATUSES. @param {Atlas} atlas @param {string} palette */
export function statusColours(atlas, palette) {
  const chosen = dark() ? DARK[palette] : { ...atlas.palettes[palette], ...LIGHT_GROUND };
  return STATUSES.map((status) => rgb(chosen[status]));
}

/** How far what is predicted is on the way to the colour of silent sites: a site, or a locus beside such as were run whole. */
export const PALE = { site: 0.36, locus: 0.2 };
/** @param {Colour[]} colours @param {number} part */
export const paler = (colours, part) => colours.map((colour, status) => (status ? mix(colour, colours[1], part) : colour));

/** A colour from 0 to 1, dark to light on paper; the other way round on a dark ground. @param {number} part */
export function sequential(part) {
  const at = Math.min(Math.max(dark() ? part : 1 - part, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return mix(VIRIDIS[low], VIRIDIS[low + 1], at - low);
}

/** A colour of its own for each of many things: hues a golden angle apart. @param {number} number @returns {Colour} */
export function identity(number) {
  const hue = (number * 137.508) % 360;
  const [s, l] = [0.55 + 0.25 * ((number * 7) % 3) / 2, dark() ? 0.62 : 0.45];
  const a = s * Math.min(l, 1 - l);
  return [0, 8, 4].map((n) => {
    const k = (n + hue / 30) % 12;
    return 255 * (l - a * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  });
}

/** Colour of a block of sites with these counts by status: ground, tinted by the NSMs it holds. @param {Values} counts @param {number} at @param {Colour[]} colours */
export function blockColour(counts, at, colours) {
  const screened = counts[at + 1] + counts[at + 2] + counts[at + 3] + counts[at + 4];
  if (!screened) return colours[0];
  const nsm = screened - counts[at + 1];
  if (!nsm) return colours[1];
  const ink = [0, 1, 2].map((c) => (counts[at + 2] * colours[2][c] + counts[at + 3] * colours[3][c] + counts[at + 4] * colours[4][c]) / nsm);
  return mix(colours[1], ink, 0.3 + 0.7 * Math.sqrt(nsm / screened));
}
