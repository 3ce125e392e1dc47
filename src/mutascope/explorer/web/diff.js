// The difference of two texts, word by word.

const WORD = /\s*\S+|\s+/gu; // white space goes with the word that follows it, as in analysis/diff.py
const MOST = 4e6; // cells of the table of common subsequences

/** Steps from one text to another: [op, text] with op equal, delete or insert. */
export function wordDiff(from, to) {
  const [a, b] = [from.match(WORD) ?? [], to.match(WORD) ?? []];
  let [head, tail] = [0, 0];
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const middle = between(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  return joined([...a.slice(0, head).map((word) => ["equal", word]), ...middle, ...a.slice(a.length - tail).map((word) => ["equal", word])]);
}

/** Steps by a longest common subsequence; all goes and all comes where that would take too long. */
function between(a, b) {
  const width = b.length + 1;
  if ((a.length + 1) * width > MOST) return [...a.map((word) => ["delete", word]), ...b.map((word) => ["insert", word])];
  const length = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      length[i * width + j] = a[i] === b[j] ? length[(i + 1) * width + j + 1] + 1 : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
    }
  }
  const steps = [];
  for (let [i, j] = [0, 0]; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) steps.push(["equal", a[i++], j++]);
    else if (j === b.length || (i < a.length && length[(i + 1) * width + j] >= length[i * width + j + 1])) steps.push(["delete", a[i++]]);
    else steps.push(["insert", b[j++]]);
  }
  return steps;
}

/** Neighbours of one sort put together; between two equal parts, what goes stands before what comes. */
function joined(steps) {
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
      if (parts.at(-1)?.[0] === "equal") parts.at(-1)[1] += word;
      else parts.push(["equal", word]);
    }
  }
  flush();
  return parts;
}
