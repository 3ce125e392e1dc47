// Elements without markup: whatever a model said goes in as text, never as HTML.

const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Make an element: attributes, listeners (`onclick`), then children; strings become text. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** The text with every character that a browser acts on but does not show (bidi marks, controls) as an escape. */
export function visible(text) {
  return text.replace(HIDDEN, (c) => {
    const code = c.codePointAt(0).toString(16);
    return code.length > 4 ? `\\U${code.padStart(8, "0")}` : code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
  });
}

/** A labelled choice of options, each [value, text]. */
export function choice(label, options, value, onpick) {
  const select = el("select", { onchange: () => onpick(select.value) },
    options.map(([key, text]) => el("option", { value: key, selected: key === value }, text)));
  return el("label", { class: "control" }, el("span", {}, label), select);
}

export const count = (n) => n.toLocaleString("en");
export const counted = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

export function share(part, whole) {
  if (!whole) return "–";
  return part > 0 && part / whole < 0.0005 ? "less than 0.1 %" : `${((100 * part) / whole).toFixed(1)} %`;
}
