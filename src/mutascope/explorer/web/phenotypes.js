// All that the mutants say: by frequency, strangeness or first word, and searched.

import * as data from "./data.js";
import { choice, count, counted, el, visible } from "./dom.js";
import { mutantLink } from "./mutant.js";
import { address, go } from "./state.js";

/** @import { At, Atlas, Packed, Screen } from "./types.d.ts" */

const PAGE = 50;
const START = 160; // characters of a text in the table
const WAIT = 300; // milliseconds that a search may take before what it has found so far is shown

/** @param {Atlas} atlas @param {At} at */
export async function phenotypesView(atlas, at) {
  const screen = atlas.screens[Number(at.screen)];
  const table = await data.phenotypes(at.screen);
  const stream = inOrder(screen, at, table);
  /** @type {{ numbers: number[], whole: boolean }} */
  const known = { numbers: [], whole: false };
  const pull = async () => {
    const { value, done } = await stream.next();
    known.numbers = known.numbers.concat(value);
    known.whole = done ?? false;
  };
  const began = performance.now();
  while (!known.whole && performance.now() - began < WAIT) await pull();
  const box = el("input", { type: "search", id: "search", placeholder: "words of an output", value: at.words ?? "", "aria-label": "Search all outputs" });
  const form = el("form", { role: "search", onsubmit: (event) => { event.preventDefault(); go({ words: box.value, phenotype: null }); } }, box, el("button", {}, "search"));
  const sorts = [["frequency", "most frequent"], ["words", "first word"]];
  if (table.arrays.cosine) sorts.splice(1, 0, ["strangeness", "strangest"]);
  const body = el("tbody");
  /** @type {HTMLButtonElement} */
  const more = el("button", { type: "button", class: "more", onclick: () => fill() }, "more");
  let drawn = 0;
  const fill = async () => {
    const part = known.numbers.slice(drawn, drawn + PAGE);
    drawn += part.length;
    body.append(...(await Promise.all(part.map((number) => row(screen, at, table, number)))));
    more.hidden = drawn >= known.numbers.length;
  };
  const found = el("output", { id: "found" });
  const none = el("p", {}, at.words ? "No mutant says this." : "No mutant that was run says anything else than the wild type.");
  const listing = el("table", {}, el("thead", {}, el("tr", {}, ["mutants", "loci", ...(table.arrays.cosine ? ["cosine"] : []), "text, from where it leaves the wild type"].map((name) => el("th", { scope: "col" }, name)))), body);
  const tell = async () => {
    if (drawn < PAGE) await fill();
    found.textContent = at.words ? `${count(known.numbers.length)}${known.whole ? "" : " so far"} of ${counted(screen.phenotypes, "phenotype")}` : counted(screen.phenotypes, "phenotype");
    none.hidden = !known.whole || known.numbers.length > 0;
    listing.hidden = !known.numbers.length;
    more.hidden = drawn >= known.numbers.length;
  };
  await tell();
  const chosen = at.phenotype !== undefined ? await chosenPhenotype(at.screen, Number(at.phenotype)) : null;
  setTimeout(async () => {
    while (!known.whole && found.isConnected) {
      await pull();
      await tell();
    }
  }, WAIT);
  return el("section", { class: "phenotypes" },
    el("h2", {}, screen.title),
    el("div", { class: "controls" }, form, choice("sort", sorts, at.sort ?? "frequency", (sort) => go({ sort })), found),
    chosen,
    none,
    listing,
    more);
}

/** Numbers of the phenotypes that are shown, in order, a part at a time. @param {Screen} screen @param {At} at @param {Packed} table @returns {AsyncGenerator<number[], number[]>} */
async function* inOrder(screen, at, { arrays }) {
  const strange = at.sort === "strangeness" && arrays.cosine;
  if (at.words && !strange && at.sort !== "words") return yield* data.search(at.screen, at.words);
  const numbers = at.words ? await collected(data.search(at.screen, at.words)) : Array.from({ length: screen.phenotypes }, (_, i) => i);
  if (strange) return numbers.toSorted((a, b) => arrays.cosine[a] - arrays.cosine[b]);
  if (at.sort !== "words") return numbers;
  const chosen = new Set(numbers);
  return [...arrays.first].filter((number) => chosen.has(number));
}

/** @param {AsyncGenerator<number[], number[]>} parts */
async function collected(parts) {
  /** @type {number[]} */
  let numbers = [];
  for (let whole = false; !whole; ) {
    const { value, done } = await parts.next();
    numbers = numbers.concat(value);
    whole = done ?? false;
  }
  return numbers;
}

/** @param {Screen} screen @param {At} at @param {Packed} table @param {number} number */
async function row(screen, at, table, number) {
  const spoken = await data.phenotype(at.screen, number);
  const link = el("a", { href: address({ phenotype: number, mutant: null }), dir: "auto" }, ...start(screen.wild_type, spoken.text));
  const cells = [count(table.arrays.mutants[number]), count(table.arrays.loci[number])];
  if (table.arrays.cosine) cells.push(Number.isNaN(table.arrays.cosine[number]) ? "" : table.arrays.cosine[number].toFixed(3));
  return el("tr", { "data-phenotype": number, "aria-current": String(number) === at.phenotype ? "true" : null }, cells.map((cell) => el("td", { class: "number" }, cell)), el("td", {}, link));
}

/** The beginning of what is new in a text, after the last words that are the wild type's. @param {string} wild @param {string | null} text */
function start(wild, text) {
  if (text === null) return ["not finite"];
  let same = 0;
  while (same < text.length && text[same] === wild[same]) same++;
  const kept = text.slice(0, text.lastIndexOf(" ", same) + 1);
  return [el("span", { class: "quiet" }, visible(kept.length > 30 ? `… ${kept.slice(-28)}` : kept)), visible(text.slice(kept.length, kept.length + START)) || "(ends)"];
}

/** @param {string} screen @param {number} number */
async function chosenPhenotype(screen, number) {
  const mutants = await data.mutantsOf(screen, number);
  const { text } = await data.phenotype(screen, number);
  return el("section", { class: "chosen" },
    el("p", { class: "whole", dir: "auto" }, text === null ? "not finite" : visible(text)),
    el("p", {}, `${count(mutants.length)} mutants · `, el("a", { href: address({ view: "model", locus: null }) }, "show them on the model")),
    el("ul", { class: "mutants" }, mutants.slice(0, 40).map(mutantLink)));
}
