// All that the mutants say: by frequency, strangeness or first word, and searched.

import * as data from "./data.js";
import { choice, count, counted, el, visible } from "./dom.js";
import { mutantLink } from "./mutant.js";
import { address, go } from "./state.js";

/** @import { At, Atlas, Packed, Screen } from "./types.d.ts" */

const PAGE = 50;
const START = 160; // characters of a text in the table

/** @param {Atlas} atlas @param {At} at */
export async function phenotypesView(atlas, at) {
  const screen = atlas.screens[Number(at.screen)];
  const table = await data.phenotypes(at.screen);
  const numbers = await inOrder(screen, at, table);
  const box = el("input", { type: "search", id: "search", placeholder: "words of an output", value: at.words ?? "", "aria-label": "Search all outputs" });
  const form = el("form", { role: "search", onsubmit: (event) => { event.preventDefault(); go({ words: box.value, phenotype: null }); } }, box, el("button", {}, "search"));
  const sorts = [["frequency", "most frequent"], ["words", "first word"]];
  if (table.arrays.cosine) sorts.splice(1, 0, ["strangeness", "strangest"]);
  const body = el("tbody");
  /** @type {HTMLButtonElement} */
  const more = el("button", { type: "button", class: "more", onclick: () => fill() }, "more");
  let drawn = 0;
  const fill = async () => {
    const part = numbers.slice(drawn, drawn + PAGE);
    drawn += part.length;
    body.append(...(await Promise.all(part.map((number) => row(screen, at, table, number)))));
    more.hidden = drawn >= numbers.length;
  };
  await fill();
  const chosen = at.phenotype !== undefined ? await chosenPhenotype(at.screen, Number(at.phenotype)) : null;
  return el("section", { class: "phenotypes" },
    el("h2", {}, screen.title),
    el("div", { class: "controls" }, form, choice("sort", sorts, at.sort ?? "frequency", (sort) => go({ sort })),
      el("output", { id: "found" }, at.words ? `${count(numbers.length)} of ${counted(screen.phenotypes, "phenotype")}` : counted(screen.phenotypes, "phenotype"))),
    chosen,
    numbers.length ? null : el("p", {}, at.words ? "No mutant says this." : "No mutant that was run says anything else than the wild type."),
    el("table", { hidden: !numbers.length }, el("thead", {}, el("tr", {}, ["mutants", "loci", ...(table.arrays.cosine ? ["cosine"] : []), "text, from where it leaves the wild type"].map((name) => el("th", { scope: "col" }, name)))), body),
    more);
}

/** Numbers of the phenotypes that are shown. @param {Screen} screen @param {At} at @param {Packed} table @returns {Promise<number[]>} */
async function inOrder(screen, at, { arrays }) {
  const numbers = at.words ? await data.search(at.screen, at.words) : Array.from({ length: screen.phenotypes }, (_, i) => i);
  if (at.sort === "strangeness" && arrays.cosine) return numbers.toSorted((a, b) => arrays.cosine[a] - arrays.cosine[b]);
  if (at.sort !== "words") return numbers;
  const chosen = new Set(numbers);
  return [...arrays.first].filter((number) => chosen.has(number));
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
