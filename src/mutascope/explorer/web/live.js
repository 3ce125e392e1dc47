// Any prompt, said by the wild type and by mutants side by side while they generate.

import { mutantsOf, phenotypes } from "./data.js";
import { wordDiff } from "./diff.js";
import { count, el, visible } from "./dom.js";
import { note } from "./state.js";

/** @import { At, Atlas, Attributes, Changes, Screen } from "./types.d.ts" */

const COLUMNS = 3; // of mutants
/** @type {Record<string, string>} */
const ENDS = { end: " · ended", length: "", "non-finite": " · not finite" };
/** @type {EventSource | null} */
let source = null;
/** The view that is on the page, kept with what was said until the address asks for something else. @type {{ element: HTMLElement, asked: () => Changes } | null} */
let shown = null;

/** @param {string} name @param {string} value @param {Attributes} attributes */
const field = (name, value, attributes) => el("label", { class: "control" }, el("span", {}, name), el("input", { name, value, ...attributes }));

/** @param {Atlas} atlas @param {At} at */
export async function liveView(atlas, at) {
  const before = shown?.asked();
  if (shown && before && Object.keys(before).every((key) => (at[key] ?? before[key]) === before[key]) && !at.mutant) return shown.element;
  const screen = atlas.screens[0];
  const names = (at.mutants ?? at.mutant ?? (await strangest(screen))).split(";");
  const prompt = el("textarea", { name: "prompt", rows: 3, "aria-label": "Prompt" }, at.prompt ?? screen.prompt);
  const mutants = Array.from({ length: COLUMNS }, (_, i) => el("input", { class: "name", value: names[i] ?? "", "aria-label": `Mutant ${i + 1}`, placeholder: i ? "another, or a sum: a + b" : "15.v:3,7:max" }));
  /** @type {HTMLInputElement} */
  const dose = el("input", { type: "range", name: "dose", min: 0, max: 1, step: 0.05, value: at.dose ?? 1, "aria-label": "Dose", oninput: () => { told.textContent = percent(dose.value); }, onchange: () => ask() });
  /** @type {HTMLOutputElement} */
  const told = el("output", { "aria-label": "Dose in percent" }, percent(dose.value));
  const sides = el("div", { class: "sides live" });
  const problem = el("p", { role: "alert", hidden: true });
  /** @type {HTMLFormElement} */
  const form = el("form", { class: "live", onsubmit: (event) => { event.preventDefault(); ask(); } },
    prompt,
    el("div", { class: "controls" }, mutants),
    el("div", { class: "controls" },
      el("label", { class: "control" }, el("span", {}, "wild type"), dose, el("span", {}, "mutant "), told),
      field("seed", at.seed ?? "0", { type: "number", min: 0, class: "short" }),
      field("temperature", at.temperature ?? "0.7", { type: "number", min: 0, max: 10, step: 0.1, class: "short" }),
      field("length", at.length ?? "80", { type: "number", min: 1, max: 400, class: "short" }),
      el("button", { class: "primary" }, "say"), el("button", { type: "button", onclick: () => note({ ...asked(), mutant: null }) }, "put this into the address")));

  function ask() {
    source?.close();
    const sums = mutants.map((input) => input.value.trim()).filter(Boolean);
    const query = new URLSearchParams([["column", ""], ...sums.map((sum) => ["column", sum]), .../** @type {Iterable<[string, string]>} */ (new FormData(form))]);
    const columns = ["wild type", ...sums].map((name) => column(name));
    sides.replaceChildren(...columns.map(({ element }) => element));
    problem.hidden = true;
    const asked = source = new EventSource(`live?${query}`);
    asked.addEventListener("said", ({ data }) => columns[JSON.parse(data).column].add(JSON.parse(data)));
    asked.addEventListener("refused", ({ data }) => { problem.textContent = JSON.parse(data); problem.hidden = false; sides.replaceChildren(); });
    const [wild, ...others] = columns;
    for (const name of ["done", "error"]) asked.addEventListener(name, () => {
      asked.close();
      for (const other of others) other.compare(wild);
      sides.dataset.done = "true";
    });
    delete sides.dataset.done;
  }

  const asked = () => ({ ...Object.fromEntries(/** @type {Iterable<[string, string]>} */ (new FormData(form))), mutants: mutants.map((input) => input.value.trim()).filter(Boolean).join(";") });
  const element = el("section", { class: "liveview" }, el("h2", {}, `Ask ${screen.model} and its mutants`),
    el("p", { class: "quiet" }, `Tiles of ${count(screen.tile)} by ${count(screen.tile)} weights. The seed is the same for all, so what differs comes from the mutation. At full dose and with the sampling of a screen, a mutant says what the screen recorded.`),
    form, problem, sides);
  shown = { element, asked };
  return element;
}

/** A mutant of the first screen whose text is strangest, to begin with; nothing where none was run. @param {Screen} screen */
async function strangest(screen) {
  if (!screen.phenotypes) return "";
  const { cosine } = (await phenotypes(0)).arrays;
  let number = 0;
  cosine?.forEach((/** @type {number} */ value, /** @type {number} */ i) => { if (value < cosine[number] || Number.isNaN(cosine[number])) number = i; });
  const [{ locus, row, col, mutation }] = await mutantsOf(0, number);
  return `${locus}:${row},${col}:${mutation}`;
}

/** @param {string | number} value */
const percent = (value) => `${Math.round(100 * Number(value))} %`;

/** A text that grows; once it is whole, what the wild type does not say is underlined. @param {string} name */
function column(name) {
  const text = el("p", { "aria-live": "off" });
  const state = el("span", { class: "quiet" }, " …");
  const element = el("section", { class: "text", "data-side": name }, el("h3", {}, name, state), text);
  return {
    element,
    text,
    add: (/** @type {{ text: string, end: string | null }} */ said) => {
      text.append(visible(said.text));
      if (said.end) state.textContent = ENDS[said.end] ?? "";
    },
    compare: (/** @type {{ text: HTMLElement }} */ wild) => {
      const parts = wordDiff(wild.text.textContent ?? "", text.textContent ?? "").filter(([op]) => op !== "delete");
      text.replaceChildren(...parts.map(([op, part]) => el(op === "insert" ? "ins" : "span", {}, part)));
    },
  };
}
