// The sentences of the report, each with a way to the place that it speaks of.

import * as data from "./data.js";
import { el } from "./dom.js";
import { address } from "./state.js";

const SECTION_VIEWS = { "The strangest phenotypes": { view: "phenotypes", sort: "strangeness" } };

export async function findingsView(atlas, at) {
  const found = await data.findings();
  const sections = [...new Set(found.map(({ section }) => section))];
  return el("section", { class: "findings" }, el("h2", {}, "Findings"),
    found.length ? null : el("p", {}, "The report has no sentence to say on these screens yet."),
    sections.map((section) => [el("h3", {}, section), el("ul", {}, found.filter((f) => f.section === section).map((f) => el("li", {}, link(at, f))))]));
}

function link(at, { section, sentence, screen, locus }) {
  const place = locus ? { view: "locus", locus } : SECTION_VIEWS[section] ?? { view: "model", locus: null };
  return el("a", { href: address({ ...place, screen: String(screen ?? at.screen), mutant: null }) }, sentence);
}
