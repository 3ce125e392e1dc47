// The difference of two texts, word by word.

/** @import { Step } from "./types.d.ts" */

const WORD = /\s*\S+|\s+/gu; // white space goes with the word that follows it, as in analysis/diff.py
const MOST = 4e6; // cells of the table of common subsequences

/** Steps from one text to another. @param {string} from @param {string} to @returns {Step[]} */
export function wordDiff(from, to) {
  const [a, b] = [from.match(WORD) ?? [], to.match(WORD) ?? []];
  let [head, tail] = [0, 0];
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const middle = between(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  return joined([...all("equal", a.slice(0, head)), ...middle, ...all("equal", a.slice(a.length - tail))]);
}

/** @param {Step[0]} op @param {string[]} words @returns {Step[]} */
const all = (op, words) => words.map((word) => [op, word]);

/** Steps by a longest common subsequence; all goes and all comes where that would take too long. @param {string[]} a @param {string[]} b @returns {Step[]} */
function between(a, b) {
  const width = b.length + 1;
  if ((a.length + 1) * width > MOST) return [...all("delete", a), ...all("insert", b)];
  const length = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      length[i * width + j] = a[i] === b[j] ? length[(i + 1) * width + j + 1] + 1 : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
    }
  }
  /** @type {Step[]} */
  const steps = [];
  for (let [i, j] = [0, 0]; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      steps.push(["equal", a[i++]]);
      j++;
    } else if (j === b.length || (i < a.length && length[(i + 1) * width + j] >= length[i * width + j + 1])) steps.push(["delete", a[i++]]);
    else steps.push(["insert", b[j++]]);
  }
  return steps;
}

/** Neighbours of one sort put together; between two equal parts, what goes stands before what comes. @param {Step[]} steps */
function joined(steps) {
  /** @type {Step[]} */
  const parts = [];
  let [gone, come] = ["", ""];
  const flush = () => {
    if (gone) parts.push(["delete", gone]);
    if (come) parts.push(["insert", come]);
    [gone, come] = ["", ""];
  };
  for (const [op, word] of steps) {
    if (op === "delete") gone += word;
    else if (op === "insert") come += word;
    else {
      flush();
      const last = parts.at(-1);
      if (last?.[0] === "equal") last[1] += word;
      else parts.push(["equal", word]);
    }
  }
  flush();
  return parts;
}
