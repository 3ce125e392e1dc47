// One mutant: its text beside the wild type's, all that say the same, and how to see it again.

import * as data from "./data.js";
import { wordDiff } from "./diff.js";
import { count, el, visible } from "./dom.js";
import { address, parseMutant } from "./state.js";

/** @import { At, Atlas, Child, Found, Mutant, Packed, Screen, Spoken, Step } from "./types.d.ts" */

const SHOWN = 60; // mutants of a phenotype that are listed

/** What a mutant is, with its record and all mutants of its phenotype; null where there is no such mutant. @param {Atlas} atlas @param {At} at @returns {Promise<Found | null>} */
export async function lookUp(atlas, at) {
  const mutant = parseMutant(at.mutant);
  const screen = atlas.screens[Number(at.screen)];
  if (!mutant || !screen.loci.some((l) => l.name === mutant.locus)) return null;
  const page = await data.locus(at.screen, mutant.locus);
  const i = mutant.row * page.cols + mutant.col;
  const of = page.of[mutant.mutation];
  if (!of?.state?.[i] || mutant.col >= page.cols) return null;
  const number = of.phenotype?.[i] ?? data.NONE;
  const same = number === data.NONE ? [] : await data.mutantsOf(at.screen, number);
  return { ...mutant, chosen: true, screen, page, state: of.state[i], of, i, number, same };
}

/** @param {Atlas} atlas @param {At} at @param {string} name @param {Found | null} found @returns {Promise<(Node | string)[]>} */
export async function mutantPanel(atlas, at, name, found) {
  const close = el("a", { class: "close", href: address({ mutant: null }), "aria-label": "Close" }, "×");
  if (!found) return [close, el("h2", {}, name), el("p", {}, "This screen has no such mutant.")];
  const { screen, number } = found;
  const table = await data.phenotypes(at.screen);
  const choices = screen.type === "choice" && number !== data.NONE ? await data.answers(at.screen, found) : null;
  const spoken = number === data.NONE ? null : await data.phenotype(at.screen, number);
  const others = Object.keys(found.page.of).filter((mutation) => found.page.of[mutation].state?.[found.i]);
  return /** @type {any[]} */ ([
    close,
    el("h2", {}, name),
    el("p", { class: "tabs" }, others.map((mutation) => el("a", {
      href: address({ mutant: `${name.slice(0, name.lastIndexOf(":"))}:${mutation}` }), "aria-current": mutation === found.mutation ? "true" : null }, mutation))),
    facts(found, spoken, table),
    ...texts(screen, found, spoken, choices),
    ...sameOutput(found),
    el("h3", {}, "See it again"),
    ...again(screen, found, name),
    ...atlas.panels.map((panel, i) => (panel.mutants.includes(name) ? el("p", {}, el("a", { href: address({ view: "panels", panel: i }) }, `its ${count(panel.prompts.length)} outputs on ${panel.label}`)) : null)),
    atlas.live ? el("p", {}, el("a", { href: address({ view: "live", mutants: name, mutant: null, locus: null }) }, "ask it something else")) : null,
    el("p", { class: "quiet" }, "The address of this page leads back here."),
  ]).filter(Boolean);
}

/** @param {Found} found @param {Spoken | null} spoken @param {Packed} table */
function facts(found, spoken, table) {
  const { state, of, i, number } = found;
  const rows = [["call", `${state & data.NSM ? "NSM" : "silent"}${state & data.PREDICTED ? " (predicted, not run)" : ""}`]];
  if (of.chance) rows.push(["predicted chance of an NSM", `${(of.chance[i] / 2.55).toFixed(0)} %`]);
  if (of.divergence[i] >= 0) rows.push(["first divergence", `token ${of.divergence[i]}`]);
  if (spoken) rows.push(["phenotype", spoken.id]);
  for (const measure of ["cosine", "edit"]) if (spoken && table.arrays[measure]) rows.push([measure, table.arrays[measure][number].toFixed(3)]);
  for (const measure of found.screen.measures) if (of[measure]) rows.push([measure, String(+of[measure][i].toPrecision(5))]);
  return el("dl", {}, rows.flatMap(([term, value]) => [el("dt", {}, term), el("dd", { "data-fact": term }, value)]));
}

/** @param {Screen} screen @param {Found} found @param {Spoken | null} spoken @param {number[][] | null} choices */
function texts(screen, found, spoken, choices) {
  const wild = screen.wild_type;
  const prompt = screen.type === "text" ? [el("p", { class: "quiet" }, visible(screen.prompt))] : [];
  if (found.state & data.PREDICTED) return [...prompt, side("wild type", [["equal", wild]]), el("p", { class: "quiet" }, "It was not run, so its text is not known; the command below runs it.")];
  if (!spoken) return [...prompt, side("wild type and mutant say the same", [["equal", wild]])];
  if (spoken.text === null) return [...prompt, side("wild type", [["equal", wild]]), el("p", {}, "Not finite: a step had a NaN or infinite logit, there is no text.")];
  if (screen.type === "choice") return [answers(screen, spoken.text, choices)];
  const parts = wordDiff(wild, spoken.text);
  return [...prompt, el("div", { class: "sides" }, side("wild type", parts.filter(([op]) => op !== "insert")), side("mutant", parts.filter(([op]) => op !== "delete")))];
}

/** Question by question: the right answer, the wild type's and the mutant's, marked where it is another, and how probable each is. @param {Screen} screen @param {string} text @param {number[][] | null} choices */
function answers({ keys, letters, questions, wild_type: wild }, text, choices) {
  const [before, after] = [wild.split("\n"), text.split("\n")];
  const rows = before.map((answer, i) => el("tr", { title: questions[i] ?? null },
    [String(i + 1), keys[i] ?? "", answer].map((cell) => el("td", {}, visible(cell))),
    el("td", {}, el(after[i] === answer ? "span" : "ins", {}, visible(after[i] ?? ""))),
    choices && el("td", { class: "chances" }, letters.map((letter, l) => chance(letter, choices[i][l], letter === keys[i])))));
  const heads = ["no.", "key", "wild type", "mutant", ...(choices ? ["the mutant's choices, in per cent"] : [])];
  return el("table", { class: "answers" }, el("thead", {}, el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, rows));
}

/** @param {string} letter @param {number} p @param {boolean} right */
function chance(letter, p, right) {
  const bar = el("i");
  bar.style.height = `${Math.max(1, 22 * p)}px`;
  return el("span", { class: right ? "right" : null, title: `${letter}: ${(100 * p).toFixed(0)} %` }, bar, letter, el("small", {}, (100 * p).toFixed(0)));
}

/** @type {Record<string, "span" | "del" | "ins">} */
const TAGS = { equal: "span", delete: "del", insert: "ins" };

/** @param {string} title @param {Step[]} parts */
function side(title, parts) {
  const text = el("p", { tabindex: 0, "aria-label": `Text of the ${title}` }, parts.map(([op, part]) => el(TAGS[op], {}, visible(part))));
  const change = /** @type {HTMLElement | null} */ (text.querySelector("del, ins"));
  if (change) requestAnimationFrame(() => { text.scrollTop = change.offsetTop - text.offsetTop - 60; });
  return el("section", { class: "text", "data-side": title, dir: "auto" }, el("h3", {}, title), text);
}

/** @param {Found} found */
function sameOutput({ same, number }) {
  if (!same.length) return [];
  const loci = new Set(same.map((m) => m.locus)).size;
  return [
    el("h3", {}, same.length === 1 ? "No other mutant says this" : `${count(same.length)} mutants in ${loci === 1 ? "one locus" : `${count(loci)} loci`} say this`),
    same.length > 1 ? el("p", {}, el("a", { href: address({ view: "model", phenotype: number, locus: null }) }, "show them on the model")) : null,
    el("ul", { class: "mutants" }, same.slice(0, SHOWN).map((m) => mutantLink(m)), same.length > SHOWN ? el("li", {}, `and ${count(same.length - SHOWN)} more`) : null),
  ];
}

/** @param {Mutant} m */
export function mutantLink(m) {
  const name = `${m.locus}:${m.row},${m.col}:${m.mutation}`;
  return el("li", {}, el("a", { href: address({ view: "locus", locus: m.locus, mutant: name, phenotype: null }) }, name));
}

/** The command that runs a mutant once more, and the line of Python that has what is known of it. @param {Screen} screen @param {Found} found @param {string} name */
function again({ folder, imported }, { locus, row, col, mutation, state }, name) {
  const call = state & data.PREDICTED ? `calls("${locus}").filter(row=${row}, col=${col}, mutation="${mutation}")` : `record(ms.Mutant.parse("${name}"))`;
  return [command(`mutascope show ${quoted(folder)} ${name}${imported ? "" : " --check"}`), command(`import mutascope as ms; print(ms.open(${JSON.stringify(folder)}).${call})`)];
}

/** @param {string} text */
const quoted = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** @param {string} text */
function command(text) {
  /** @type {HTMLButtonElement} */
  const copy = el("button", { type: "button", onclick: async () => { await navigator.clipboard.writeText(text); copy.textContent = "copied"; } }, "copy");
  return el("div", { class: "command" }, el("code", {}, text), copy);
}
