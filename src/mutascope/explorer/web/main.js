// Draws what the address says, whenever it changes.

import * as data from "./data.js";
import { choice, el, focused } from "./dom.js";
import { findingsView } from "./findings.js";
import { liveView } from "./live.js";
import { locusView } from "./locus.js";
import { modelView } from "./model.js";
import { lookUp, mutantPanel } from "./mutant.js";
import { panelsView } from "./panels.js";
import { phenotypesView } from "./phenotypes.js";
import { address, go, state } from "./state.js";
import { nsms } from "./world.js";

/** @import { At, Atlas, Mutant, Screen } from "./types.d.ts" */

/** Word and maker of every view. @type {Record<string, [string, (atlas: Atlas, at: At, lit: Mutant[]) => Promise<HTMLElement>]>} */
const VIEWS = { model: ["Model", modelView], locus: ["Locus", locusView], phenotypes: ["Phenotypes", phenotypesView], findings: ["Findings", findingsView], panels: ["Panels", panelsView], live: ["Live", liveView] };
/** @param {Atlas} atlas @param {string} view */
const there = (atlas, view) => Object.hasOwn(VIEWS, view) && (view !== "live" || atlas.live) && (view !== "panels" || atlas.panels.length > 0) && (view !== "findings" || !globalThis.embedded);
const POLL = 5000; // milliseconds between looks at a folder that grows
/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const main = part("main");
const aside = part("mutant");
let turn = 0;

async function draw() {
  const mine = ++turn;
  const before = focused();
  const busy = setTimeout(() => mine === turn && main.setAttribute("aria-busy", "true"), 300);
  try {
    const atlas = await data.atlas();
    const at = state();
    const screen = atlas.screens[Number(at.screen)];
    // an address that leads nowhere is replaced, so that one can go back over it
    if (!screen) return go({ screen: null }, true);
    if (!(at.palette in atlas.palettes)) return go({ palette: null }, true);
    if (!there(atlas, at.view)) return go({ view: null }, true);
    if (at.view === "locus" && !at.locus) return go({ locus: fullest(screen) }, true);
    const found = at.mutant ? await lookUp(atlas, at) : null;
    aside.hidden = !at.mutant || ["phenotypes", "panels", "live"].includes(at.view);
    if (at.mutant) aside.replaceChildren(...(await mutantPanel(atlas, at, at.mutant, found)));
    const lit = at.phenotype !== undefined ? await data.mutantsOf(at.screen, Number(at.phenotype)) : found ? [...found.same, found] : [];
    const view = await VIEWS[at.view][1](atlas, at, lit);
    if (mine !== turn) return; // the address has changed meanwhile
    header(atlas, at);
    if (main.firstElementChild !== view || main.childElementCount > 1) main.replaceChildren(view);
    // what had the focus and was drawn anew has it again; where it is gone, whoever tabs goes on with the view
    for (const wanted of before ? [before, "main"] : []) if (!focused()) /** @type {HTMLElement | null} */ (document.querySelector(wanted))?.focus({ preventScroll: true });
    document.title = `${at.mutant ?? at.locus ?? VIEWS[at.view][0]} · mutascope atlas`;
    main.dataset.ready = location.hash || "#";
  } catch (error) {
    if (mine === turn) main.replaceChildren(el("p", { role: "alert" }, `This cannot be shown: ${error instanceof Error ? error.message : error}.`));
  } finally {
    clearTimeout(busy);
    if (mine === turn) main.removeAttribute("aria-busy");
  }
}

/** The locus with the most NSM sites. @param {Screen} screen */
const fullest = ({ loci }) => loci.reduce((best, l) => (nsms(l) > nsms(best) ? l : best)).name;

/** @param {Atlas} atlas @param {At} at */
function header(atlas, at) {
  part("views").replaceChildren(...Object.entries(VIEWS).filter(([name]) => there(atlas, name)).map(([name, [word]]) =>
    el("a", { id: `view-${name}`, href: address({ view: name, colour: null, limit: null, phenotype: null, line: null }), "aria-current": name === at.view ? "page" : null }, word)));
  const screens = atlas.screens.map(({ label }, i) => [String(i), label]);
  part("settings").replaceChildren(
    choice("screen", screens, at.screen, (screen) => go({ screen, mutant: null, phenotype: null, limit: null })),
    choice("palette", Object.keys(atlas.palettes).map((name) => [name, name]).toReversed(), at.palette, (palette) => go({ palette })),
    el("button", { type: "button", "aria-label": "Dark or light", onclick: () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark") }, "◐"));
}

/** @param {string} name */
function theme(name) {
  document.documentElement.dataset.theme = name;
  draw();
}

/** Look again, now and then, at the folders of an atlas that is served: what was added to them shows. */
async function watch() {
  const atlas = await data.atlas().catch(() => null); // what is gone may come back
  if (atlas && !atlas.served) return;
  const answer = await fetch("data/atlas.json").catch(() => null); // nobody answers: later, perhaps
  if (answer?.ok && (!atlas || stamps(await answer.json()) !== stamps(atlas))) {
    data.forget();
    draw();
  }
  setTimeout(watch, POLL);
}

/** @param {Atlas} atlas */
const stamps = ({ screens, panels }) => [...screens, ...panels].map(({ stamp }) => stamp).join();

addEventListener("hashchange", draw);
addEventListener("keydown", ({ key, target }) => { if (key === "Escape" && !aside.hidden && !(target instanceof Element && target.matches("input, select, textarea"))) go({ mutant: null }); });
const wanted = state().theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
theme(wanted);
setTimeout(watch, POLL);
