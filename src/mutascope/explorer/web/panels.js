// Mutants on a panel of prompts: all that one of them says, beside the wild type, searched as one types.

import * as data from "./data.js";
import { wordDiff } from "./diff.js";
import { choice, count, el, visible } from "./dom.js";
import { address, go } from "./state.js";

/** @import { At, Atlas, Child, Panel } from "./types.d.ts" */

const NOTHING = "(ends)";

/** @param {Atlas} atlas @param {At} at */
export async function panelsView(atlas, at) {
  const number = Number(at.panel ?? 0);
  const panel = atlas.panels[number];
  if (!panel) return el("section", {}, el("h2", {}, "There is no such panel"));
  const name = panel.mutants.find((mutant) => mutant === at.mutant) ?? panel.mutants[0];
  if (name === undefined) return el("section", { class: "panels" }, el("h2", {}, panel.title), el("p", {}, "No mutant has run on this panel yet."));
  const said = await data.panel(number, panel.mutants.indexOf(name));
  const rows = panel.prompts.map((prompt, i) => row(panel, prompt, i, said[i] ?? null));
  const found = el("output", { id: "found" }, `${count(rows.length)} outputs`);
  /** @type {HTMLInputElement} */
  const filter = el("input", { type: "search", placeholder: "words of a prompt or an output", "aria-label": "Search the outputs", oninput: () => {
    const words = filter.value.toLowerCase();
    let shown = 0;
    for (const { element, text } of rows) shown += Number(!(element.hidden = !text.includes(words)));
    found.textContent = `${count(shown)} of ${count(rows.length)} outputs${shown ? "" : ": no prompt and no output has this"}`;
  } });
  return el("section", { class: "panels" }, el("h2", {}, panel.title),
    el("div", { class: "controls" },
      atlas.panels.length > 1 ? choice("panel", atlas.panels.map(({ label }, i) => [String(i), label]), String(number), (chosen) => go({ panel: chosen, mutant: null })) : null,
      choice("mutant", panel.mutants.map((mutant) => [mutant, mutant]), name, (mutant) => go({ mutant })),
      filter, found,
      el("a", { href: address({ view: "locus", locus: name.split(":")[0], mutant: name }) }, "show it on the map")),
    el("table", {}, el("thead", {}, el("tr", {}, ["prompt", "wild type", "mutant"].map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, rows.map(({ element }) => element))));
}

/** @param {...Child} children */
const cell = (...children) => el("td", { class: "said", dir: "auto" }, ...children);

/** @param {Panel} panel @param {string} prompt @param {number} i @param {string | null} text */
function row(panel, prompt, i, text) {
  const wild = panel.wild_type[i];
  const parts = text === null ? [] : wordDiff(wild, text).filter(([op]) => op !== "delete");
  const mutant = text === null ? ["not finite"] : text === wild ? ["the same"] : !text ? [NOTHING] : parts.map(([op, part]) => el(op === "insert" ? "ins" : "span", {}, visible(part)));
  return { element: el("tr", { "data-prompt": i }, cell(visible(prompt), panel.genres[i] ? el("small", {}, panel.genres[i]) : null), cell(visible(wild) || NOTHING), cell(...mutant)), text: `${prompt}\n${text ?? ""}`.toLowerCase() };
}
