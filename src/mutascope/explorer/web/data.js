// The pages of data, fetched once each; the same addresses on a server and in a static folder.

const TYPES = {
  uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, float32: Float32Array,
};
export const NONE = 2 ** 32 - 1;
export const [SILENT, NSM, PREDICTED] = [1, 2, 4]; // bits of a state
const known = new Map();
let index = null;

/** A page from where the atlas lies, or from the page itself where it takes all along. */
async function fetched(path) {
  if (!globalThis.embedded) return fetch(path);
  const page = globalThis.embedded[path];
  return page === undefined ? new Response("", { status: 404 }) : new Response(Uint8Array.from(atob(page), (c) => c.charCodeAt(0)));
}

function once(path, read) {
  if (!known.has(path)) {
    const page = fetched(path).then((answer) => {
      if (!answer.ok) throw new Error(`there is no page ${path}`);
      return read(answer);
    });
    page.catch(() => known.delete(path));
    known.set(path, page);
  }
  return known.get(path);
}

/** Forget all pages: a folder has grown. */
export const forget = () => known.clear();
export const atlas = () => once("data/atlas.json", (answer) => answer.json()).then((read) => (index = read));
/** The sections of the findings, one after the other, as they are found. */
export async function* findings() {
  const lines = (await fetched("data/findings.jsonl")).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let { value, done } = await lines.read(); !done; { value, done } = await lines.read()) {
    const whole = (rest + value).split("\n");
    rest = whole.pop();
    for (const line of whole) yield JSON.parse(line);
  }
}
const unzipped = (answer) => new Response(answer.body.pipeThrough(new DecompressionStream("gzip")));
const json = (path) => once(path, (answer) => unzipped(answer).json());
const packed = (path) => once(path, async (answer) => unpack(await unzipped(answer).arrayBuffer()));

/** Facts and arrays of a packed page. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  for (const [name, { type, shape, offset }] of Object.entries(facts.arrays)) {
    const size = shape.reduce((a, b) => a * b, 1);
    arrays[name] = Object.assign(new TYPES[type](buffer, 4 + length + offset, size), { shape });
  }
  return { ...facts, arrays };
}

export const overview = (screen) => packed(`data/${screen}/overview.bin`);
/** What a mutant says to every prompt of a panel. */
export const panel = (number, mutant) => json(`data/panels/${number}/${mutant}.bin`);
export const phenotypes = (screen) => packed(`data/${screen}/phenotypes.bin`);

/** A locus with a dense array per mutation and column: `locus.of.max.state[row * cols + col]`. */
export async function locus(screen, name) {
  const read = await packed(`data/${screen}/loci/${encodeURIComponent(name)}.bin`);
  if (read.of) return read;
  read.of = {};
  for (const mutation of index.screens[screen].mutations) {
    const { [`${mutation}.site`]: site } = read.arrays;
    const columns = Object.keys(read.arrays).filter((key) => key.startsWith(`${mutation}.`) && !key.endsWith(".site"));
    read.of[mutation] = Object.fromEntries(columns.map((key) =>
      [key.slice(mutation.length + 1), site ? spread(read.arrays[key], site, read.rows * read.cols) : read.arrays[key]]));
  }
  return read;
}

function spread(values, site, size) {
  const dense = new values.constructor(size);
  if (values instanceof Float32Array) dense.fill(NaN);
  if (values instanceof Uint32Array) dense.fill(NONE);
  if (values instanceof Int16Array) dense.fill(-1);
  for (let i = 0; i < site.length; i++) dense[site[i]] = values[i];
  return dense;
}

/** What one phenotype says: its id, and its text (null where an output was not finite). */
export async function phenotype(screen, number) {
  const { piece } = index.screens[screen];
  const page = await json(`data/${screen}/texts/${Math.floor(number / piece)}.bin`);
  const [id, text] = page[number % piece];
  return { id, text };
}

/** All mutants of one phenotype: locus, row, col, mutation. */
export async function mutantsOf(screen, number) {
  const { piece, loci, mutations } = index.screens[screen];
  const { arrays } = await packed(`data/${screen}/sites/${Math.floor(number / piece)}.bin`);
  const found = [];
  for (let i = arrays.start[number % piece]; i < arrays.start[(number % piece) + 1]; i++) {
    const { name, cols } = loci[arrays.locus[i]];
    found.push({ locus: name, row: Math.floor(arrays.site[i] / cols), col: arrays.site[i] % cols, mutation: mutations[arrays.mutation[i]] });
  }
  return found;
}

/** Probabilities of the choices, by question and letter, of an NSM; null where they are not known. */
export async function answers(screen, { locus, mutation, i }) {
  const { answered, letters } = index.screens[screen];
  if (!answered.includes(locus)) return null;
  const { arrays } = await packed(`data/${screen}/answers/${encodeURIComponent(locus)}.bin`);
  const [site, p] = [arrays[`${mutation}.site`], arrays[`${mutation}.p`]];
  const at = site ? site.indexOf(i) : -1;
  if (at < 0) return null;
  const [, questions] = p.shape;
  return Array.from({ length: questions }, (_, q) => letters.map((_, l) => p[(at * questions + q) * letters.length + l] / 255));
}

/** The words of a text in lower case, as the index cuts them (explorer/words.py). */
const words = (text) => (text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []).map((word) => [...word].slice(0, 40).join(""));

/** Numbers of the phenotypes that have every word, or words that begin so; and what stands in quotes word for word. */
export async function search(screen, query) {
  const size = index.screens[screen].phenotypes;
  const marks = await Promise.all(words(query).map((word) => withWord(screen, word, size)));
  let found = [];
  for (let number = 0; number < size; number++) if (marks.every((mark) => mark[number])) found.push(number);
  for (const [, phrase] of query.toLowerCase().matchAll(/"([^"]+)"/g)) {
    const says = await Promise.all(found.map(async (number) => (await phenotype(screen, number)).text?.toLowerCase().includes(phrase)));
    found = found.filter((_, i) => says[i]);
  }
  return found;
}

async function withWord(screen, word, size) {
  const first = await json(`data/${screen}/words.bin`);
  const whole = word.length < 3; // such a word stands for itself alone
  const pieces = [...first.keys()].filter((i) => (i + 1 === first.length || first[i + 1] >= word) && (whole ? first[i] <= word : first[i] <= word || first[i].startsWith(word)));
  const mark = new Uint8Array(size);
  for (const page of await Promise.all(pieces.map((piece) => packed(`data/${screen}/words/${piece}.bin`)))) {
    const { start, steps } = page.arrays;
    let number = 0;
    page.words.forEach((other, i) => {
      const wanted = whole ? other === word : other.startsWith(word);
      for (let at = start[i]; at < start[i + 1]; at++) {
        number = (number + steps[at]) >>> 0;
        if (wanted) mark[number] = 1;
      }
    });
  }
  return mark;
}
