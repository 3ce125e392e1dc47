// The sentences of the report, each with a way to the place that it speaks of; they come while they are found.

import * as data from "./data.js";
import { el } from "./dom.js";
import { address } from "./state.js";

/** @import { At, Atlas, Changes, Sentence } from "./types.d.ts" */

/** What shows a sentence of a section: on the map of its locus where it names one, or else as the second entry says. @type {Record<string, [Changes, Changes]>} */
const PLACES = {
  rates: [{}, { colour: "rate" }],
  bias: [{}, { colour: "bias" }],
  lines: [{}, { colour: "status" }],
  copa: [{ order: "copa-col" }, { view: "locus", order: "copa-col" }],
  copa_pairs: [{}, { view: "locus", order: "copa-col" }],
  fragile: [{ colour: "divergence" }, { view: "locus", colour: "divergence" }],
  tokens: [{ colour: "divergence" }, { view: "locus", colour: "divergence" }],
  severity: [{ colour: "cosine" }, { colour: "strangeness" }],
  choice: [{ colour: "score" }, { view: "locus", colour: "score" }],
  baselines: [{ colour: "chance" }, { view: "locus", colour: "chance" }],
  comparison: [{ beside: "1" }, { view: "locus", beside: "1" }],
  null: [{}, { colour: "enriched" }],
  writers: [{}, { view: "panels" }],
  writer_genres: [{}, { view: "panels" }],
};

/** @param {Atlas} atlas @param {At} at */
export async function findingsView(atlas, at) {
  const state = el("p", { class: "quiet", role: "status" }, "Looking at the screens … of millions of mutants that takes minutes; the other views go on meanwhile.");
  const element = el("section", { class: "findings" }, el("h2", {}, "Findings"), state);
  fill(element, state, at).catch((error) => { state.textContent = `The findings cannot be read: ${error.message}.`; });
  return element;
}

/** @param {HTMLElement} element @param {HTMLElement} state @param {At} at */
async function fill(element, state, at) {
  for await (const { name = "", section = "", sentences = [], refused } of data.findings()) {
    if (refused) return state.replaceChildren(refused);
    state.before(el("h3", {}, section), el("ul", {}, sentences.map((said) => el("li", {}, link(at, name, said)))));
    state.textContent = "Looking for more …";
  }
  if (element.querySelector("li")) state.remove();
  else state.textContent = "The report has no sentence to say on these screens yet.";
}

/** @param {At} at @param {string} name of the section @param {Sentence} said */
function link(at, name, { sentence, screen, locus, line }) {
  const [onMap, elsewhere] = PLACES[name] ?? [{}, {}];
  /** @type {Changes} */
  const place = { view: "model", locus: null, colour: null, order: null, ...(locus ? { view: "locus", locus, ...onMap } : elsewhere), line };
  if (place.order && sentence.includes("in the rows of")) place.order = "copa-row";
  return el("a", { href: address({ ...place, screen: String(screen ?? at.screen), mutant: null, phenotype: null }) }, sentence, " ", el("small", {}, `→ ${locus ?? place.view}`));
}
