// The sentences of the report, each with a way to the place that it speaks of; they come while they are found.

import * as data from "./data.js";
import { el } from "./dom.js";
import { address } from "./state.js";

/** @import { At, Atlas, Changes, Sentence } from "./types.d.ts" */

/** @type {Record<string, Changes>} */
const SECTION_VIEWS = { "The strangest phenotypes": { view: "phenotypes", sort: "strangeness" } };

/** @param {Atlas} atlas @param {At} at */
export async function findingsView(atlas, at) {
  const state = el("p", { class: "quiet", role: "status" }, "Looking at the screens …");
  const element = el("section", { class: "findings" }, el("h2", {}, "Findings"), state);
  fill(element, state, at).catch((error) => { state.textContent = `The findings cannot be read: ${error.message}.`; });
  return element;
}

/** @param {HTMLElement} element @param {HTMLElement} state @param {At} at */
async function fill(element, state, at) {
  for await (const { section = "", sentences = [], refused } of data.findings()) {
    if (refused) return state.replaceChildren(refused);
    state.before(el("h3", {}, section), el("ul", {}, sentences.map((said) => el("li", {}, link(at, section, said)))));
    state.textContent = "Looking for more …";
  }
  if (element.querySelector("li")) state.remove();
  else state.textContent = "The report has no sentence to say on these screens yet.";
}

/** @param {At} at @param {string} section @param {Sentence} said */
function link(at, section, { sentence, screen, locus }) {
  const place = locus ? { view: "locus", locus } : (SECTION_VIEWS[section] ?? { view: "model", locus: null });
  return el("a", { href: address({ ...place, screen: String(screen ?? at.screen), mutant: null }) }, sentence, " ", el("small", {}, `→ ${locus ?? place.view}`));
}
