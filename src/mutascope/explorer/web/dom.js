// Elements without markup: whatever a model said goes in as text, never as HTML.

/** @import { Attributes, Child } from "./types.d.ts" */

const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Make an element: attributes, listeners (`onclick`), then children; strings become text.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Attributes} [attributes] @param {...Child} children @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(.../** @type {any[]} */ (children).flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** The text with every character that a browser acts on but does not show (bidi marks, controls) as an escape. @param {string} text */
export function visible(text) {
  return text.replace(HIDDEN, (c) => {
    const code = (c.codePointAt(0) ?? 0).toString(16);
    return code.length > 4 ? `\\U${code.padStart(8, "0")}` : code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
  });
}

/** What draws on a canvas. @param {HTMLCanvasElement} canvas */
export const pen = (canvas) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

/** Draw the outline of a path so that it is seen on any ground. @param {CanvasRenderingContext2D} context @param {string} colour @param {number} [unit] of width */
export function ringed(context, colour, unit = 1) {
  for (const [strokeStyle, width] of /** @type {[string, number][]} */ ([["#ffffff", 4], [colour, 2]])) {
    Object.assign(context, { strokeStyle, lineWidth: width * unit });
    context.stroke();
  }
}

/** A small sign in a colour. @param {string} background */
export function swatch(background, kind = "swatch") {
  const sign = el("i", { class: kind });
  sign.style.background = background;
  return sign;
}

/** A labelled choice of options, each [value, text]. @param {string} label @param {string[][]} options @param {string} value @param {(value: string) => void} onpick */
export function choice(label, options, value, onpick) {
  /** @type {HTMLSelectElement} */
  const select = el("select", { name: label, onchange: () => onpick(select.value) },
    options.map(([key, text]) => el("option", { value: key, selected: key === value }, text)));
  return el("label", { class: "control" }, el("span", {}, label), select);
}

/** What finds the element again that has the focus, once the page is drawn anew; null where nothing has it. */
export function focused() {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const name = ["id", "name", "data-locus", "aria-label"].find((attribute) => element.getAttribute(attribute));
  return name ? `${element.localName}[${name}="${CSS.escape(element.getAttribute(name) ?? "")}"]` : "main";
}

/** @param {number} n */
export const count = (n) => n.toLocaleString("en");
/** @param {number} n @param {string} word */
export const counted = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

/** @param {number} part @param {number} whole */
export function share(part, whole) {
  if (!whole) return "–";
  return part > 0 && part / whole < 0.0005 ? "less than 0.1 %" : `${((100 * part) / whole).toFixed(1)} %`;
}
