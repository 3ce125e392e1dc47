// The pages of data, fetched once each; the same addresses on a server and in a static folder.

/** @import { Arrays, At, Atlas, LocusPage, Mutant, Packed, Refused, Section, Spoken, Values, WordsPage } from "./types.d.ts" */
/** @typedef {string | number} Number_ of a screen */

/** @type {Record<string, any>} */
const TYPES = {
  uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, float32: Float32Array,
};
export const NONE = 2 ** 32 - 1;
export const [SILENT, NSM, PREDICTED] = [1, 2, 4]; // bits of a state
/** @type {Map<string, Promise<any>>} */
const known = new Map();
/** @type {Atlas} */
let index;

/** A page from where the atlas lies, or from the page itself where it takes all along. @param {string} path */
async function fetched(path) {
  if (!globalThis.embedded) return fetch(path);
  const page = globalThis.embedded[path];
  return page === undefined ? new Response("this page takes one locus along; `mutascope explore` shows all", { status: 503 }) : new Response(Uint8Array.from(atob(page), (c) => c.charCodeAt(0)));
}

/** @template T @param {string} path @param {(answer: Response) => Promise<T>} read @returns {Promise<T>} */
function once(path, read) {
  const before = known.get(path);
  if (before) return before;
  const page = fetched(path).then(async (answer) => {
    if (!answer.ok) throw new Error(answer.status === 503 ? await answer.text() : `there is no page ${path}`);
    return read(answer);
  });
  page.catch(() => known.delete(path));
  known.set(path, page);
  return page;
}

/** Forget all pages: a folder has grown. */
export const forget = () => known.clear();
/** @returns {Promise<Atlas>} */
export const atlas = () => once("data/atlas.json", (answer) => answer.json()).then((read) => (index = read));

/** The sections of the findings, one after the other, as they are found. @returns {AsyncGenerator<Partial<Section & Refused>>} */
export async function* findings() {
  const { body } = await fetched("data/findings.jsonl");
  if (!body) return;
  const lines = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let { value, done } = await lines.read(); !done; { value, done } = await lines.read()) {
    const whole = (rest + value).split("\n");
    rest = whole.pop() ?? "";
    for (const line of whole) yield JSON.parse(line);
  }
}

/** @param {Response} answer */
const unzipped = ({ body }) => new Response(body?.pipeThrough(new DecompressionStream("gzip")));
/** @param {string} path @returns {Promise<any>} */
const json = (path) => once(path, (answer) => unzipped(answer).json());
/** @param {string} path @returns {Promise<any>} */
const packed = (path) => once(path, async (answer) => unpack(await unzipped(answer).arrayBuffer()));

/** Facts and arrays of a packed page. @param {ArrayBuffer} buffer */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  /** @type {Arrays} */
  const arrays = {};
  for (const [name, { type, shape, offset }] of Object.entries(/** @type {Record<string, { type: string, shape: number[], offset: number }>} */ (facts.arrays))) {
    const size = shape.reduce((a, b) => a * b, 1);
    arrays[name] = Object.assign(new TYPES[type](buffer, 4 + length + offset, size), { shape });
  }
  return { ...facts, arrays };
}

/** @param {Number_} screen @returns {Promise<Packed>} */
export const overview = (screen) => packed(`data/${screen}/overview.bin`);
/** What a mutant says to every prompt of a panel. @param {number} number @param {number} mutant @returns {Promise<(string | null)[]>} */
export const panel = (number, mutant) => json(`data/panels/${number}/${mutant}.bin`);
/** @param {Number_} screen @returns {Promise<Packed>} */
export const phenotypes = (screen) => packed(`data/${screen}/phenotypes.bin`);

/** The screen of a number. @param {Number_} screen */
const indexOf = (screen) => index.screens[Number(screen)];

/**
 * A locus with a dense array per mutation and column: `locus.of.max.state[row * cols + col]`.
 * @param {Number_} screen @param {string} name @returns {Promise<LocusPage>}
 */
export async function locus(screen, name) {
  const read = await packed(`data/${screen}/loci/${encodeURIComponent(name)}.bin`);
  if (read.of) return read;
  read.of = {};
  for (const mutation of indexOf(screen).mutations) {
    const { [`${mutation}.site`]: site } = read.arrays;
    const columns = Object.keys(read.arrays).filter((key) => key.startsWith(`${mutation}.`) && !key.endsWith(".site"));
    read.of[mutation] = Object.fromEntries(columns.map((key) =>
      [key.slice(mutation.length + 1), site ? spread(read.arrays[key], site, read.rows * read.cols) : read.arrays[key]]));
  }
  return read;
}

/** @param {Values} values @param {Values} site @param {number} size */
function spread(values, site, size) {
  const dense = new (/** @type {any} */ (values.constructor))(size);
  if (values instanceof Float32Array) dense.fill(NaN);
  if (values instanceof Uint32Array) dense.fill(NONE);
  if (values instanceof Int16Array) dense.fill(-1);
  for (let i = 0; i < site.length; i++) dense[site[i]] = values[i];
  return dense;
}

/** What one phenotype says: its id, and its text (null where an output was not finite). @param {Number_} screen @param {number} number @returns {Promise<Spoken>} */
export async function phenotype(screen, number) {
  const { piece } = indexOf(screen);
  const page = await json(`data/${screen}/texts/${Math.floor(number / piece)}.bin`);
  const [id, text] = page[number % piece];
  return { id, text };
}

/** All mutants of one phenotype. @param {Number_} screen @param {number} number @returns {Promise<Mutant[]>} */
export async function mutantsOf(screen, number) {
  const { piece, loci, mutations } = indexOf(screen);
  const { arrays } = await packed(`data/${screen}/sites/${Math.floor(number / piece)}.bin`);
  const found = [];
  for (let i = arrays.start[number % piece]; i < arrays.start[(number % piece) + 1]; i++) {
    const { name, cols } = loci[arrays.locus[i]];
    found.push({ locus: name, row: Math.floor(arrays.site[i] / cols), col: arrays.site[i] % cols, mutation: mutations[arrays.mutation[i]] });
  }
  return found;
}

/**
 * Probabilities of the choices, by question and letter, of an NSM; null where they are not known.
 * @param {Number_} screen @param {{ locus: string, mutation: string, i: number }} mutant @returns {Promise<number[][] | null>}
 */
export async function answers(screen, { locus: name, mutation, i }) {
  const { answered, letters } = indexOf(screen);
  if (!answered.includes(name)) return null;
  const { arrays } = await packed(`data/${screen}/answers/${encodeURIComponent(name)}.bin`);
  const [site, p] = [arrays[`${mutation}.site`], arrays[`${mutation}.p`]];
  const at = site ? site.indexOf(i) : -1;
  if (at < 0) return null;
  const [, questions] = p.shape;
  return Array.from({ length: questions }, (_, q) => letters.map((letter, l) => p[(at * questions + q) * letters.length + l] / 255));
}

/** The words of a text in lower case, as the index cuts them (explorer/words.py). @param {string} text */
const words = (text) => (text.toLowerCase().match(/[\p{L}\p{N}_]+/gu) ?? []).map((word) => [...word].slice(0, 40).join(""));

/** A text as phrases are looked for in it: how letters are cased and lines broken does not matter. @param {string} text */
const plain = (text) => text.toLowerCase().replace(/\s+/gu, " ");

/**
 * Numbers of the phenotypes that have every word, or words that begin so; and what stands in quotes word for word.
 * Phrases take the texts themselves, so that their numbers come piece by piece.
 * @param {Number_} screen @param {string} query @returns {AsyncGenerator<number[], number[]>}
 */
export async function* search(screen, query) {
  const { phenotypes: size, piece } = indexOf(screen);
  const marks = await Promise.all(words(query).map((word) => withWord(screen, word, size)));
  const phrases = Array.from(plain(query).matchAll(/"([^"]+)"/g), ([, phrase]) => phrase);
  const step = phrases.length ? piece : size;
  for (let from = 0; ; from += step) {
    const found = [];
    for (let number = from; number < Math.min(from + step, size); number++) if (marks.every((mark) => mark[number])) found.push(number);
    const part = phrases.length ? await saying(screen, found, phrases) : found;
    if (from + step >= size) return part;
    yield part;
  }
}

/** Those of some phenotypes that say every phrase. @param {Number_} screen @param {number[]} numbers @param {string[]} phrases */
async function saying(screen, numbers, phrases) {
  const texts = await Promise.all(numbers.map(async (number) => plain((await phenotype(screen, number)).text ?? "")));
  return numbers.filter((_, i) => phrases.every((phrase) => texts[i].includes(phrase)));
}

/** A mark for every phenotype with a word. @param {Number_} screen @param {string} word @param {number} size */
async function withWord(screen, word, size) {
  /** @type {string[]} */
  const first = await json(`data/${screen}/words.bin`);
  const whole = word.length < 3; // such a word stands for itself alone
  const pieces = [...first.keys()].filter((i) => (i + 1 === first.length || first[i + 1] >= word) && (whole ? first[i] <= word : first[i] <= word || first[i].startsWith(word)));
  const mark = new Uint8Array(size);
  /** @type {WordsPage[]} */
  const pages = await Promise.all(pieces.map((piece) => packed(`data/${screen}/words/${piece}.bin`)));
  for (const page of pages) {
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
