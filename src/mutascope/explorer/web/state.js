// A view is an address: everything that is looked at stands behind the # and can be shared, kept and gone back to.

/** @import { At, Changes, Line, Mutant } from "./types.d.ts" */

/** @type {At} */
const DEFAULTS = { view: "model", screen: "0", colour: "status", mutation: "any", order: "index", palette: "colourblind" };

/** What the address says. @returns {At} */
export function state() {
  return { ...DEFAULTS, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
}

/** The address with some entries changed; null or a default removes one. What was zoomed to goes with the place. @param {Changes} changes */
export function address(changes) {
  const now = state();
  const elsewhere = ["view", "screen", "locus"].some((key) => key in changes && (changes[key] ?? DEFAULTS[key]) !== now[key]);
  const next = { ...now, ...noted, ...(elsewhere ? { cam: null } : {}), ...changes };
  const told = Object.entries(next).flatMap(([key, value]) => ((value ?? "") !== "" && value !== DEFAULTS[key] ? [[key, String(value)]] : []));
  // commas and colons of a mutant need no escape behind a #, and an address is also read by people
  return `#${new URLSearchParams(told).toString().replaceAll("%3A", ":").replaceAll("%2C", ",")}`;
}

/** Go there; `quiet` leaves no entry in the history, for sliders. @param {Changes} changes */
export function go(changes, quiet = false) {
  const target = address(changes);
  flush(); // where one comes back to
  if (quiet) {
    history.replaceState(null, "", target);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = target;
}

/** Put into the address what is on the page already, soon: browsers take it ill when it is done at every turn of a wheel. @param {Changes} changes */
export function note(changes) {
  Object.assign(noted, changes);
  clearTimeout(timer);
  timer = setTimeout(flush, 250);
}

/** @type {Changes} */
let noted = {};
let timer = 0;
addEventListener("hashchange", () => { noted = {}; });

function flush() {
  clearTimeout(timer);
  if (!Object.keys(noted).length) return;
  history.replaceState(null, "", address({}));
  noted = {};
}

/** Locus, row, column and mutation of `15.down:3,7:max`; null for anything else. @param {string | undefined} text @returns {Mutant | null} */
export function parseMutant(text) {
  const match = /^(\d+\.[\w.-]+):(\d+),(\d+):([\w-]+)$/.exec(text ?? "");
  return match && { locus: match[1], row: +match[2], col: +match[3], mutation: match[4] };
}

/** Axis, index and kind of `row,12,v`, a line of every layer; null for anything else. @param {string | undefined} text @returns {Line | null} */
export function parseLine(text) {
  const match = /^(row|col),(\d+),([\w.-]+)$/.exec(text ?? "");
  return match && { axis: match[1], index: +match[2], kind: match[3] };
}
