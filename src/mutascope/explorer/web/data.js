// The pages of data, fetched once each; the same addresses on a server and in a static folder.

const TYPES = {
  uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, float32: Float32Array,
};
export const NONE = 2 ** 32 - 1;
export const [SILENT, NSM, PREDICTED] = [1, 2, 4]; // bits of a state
const known = new Map();
let index = null;

function once(path, read) {
  if (!known.has(path)) {
    const page = fetch(path).then((answer) => {
      if (!answer.ok) throw new Error(`there is no page ${path}`);
      return read(answer);
    });
    page.catch(() => known.delete(path));
    known.set(path, page);
  }
  return known.get(path);
}

/** Forget all pages: the folder has grown. */
export const forget = () => known.clear();
export const atlas = () => once("data/atlas.json", (answer) => answer.json()).then((read) => (index = read));
export const findings = () => once("data/findings.json", (answer) => answer.json());
const packed = (path) => once(path, async (answer) => unpack(await answer.arrayBuffer()));

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

/** What one phenotype says: id, parts of the diff [op, text], text (null where an output was not finite). */
export async function phenotype(screen, number) {
  const { piece, wild_type: wild } = index.screens[screen];
  const page = await once(`data/${screen}/texts/${Math.floor(number / piece)}.json`, (answer) => answer.json());
  const { id, steps } = page[number % piece];
  if (steps === null) return { id, parts: [], text: null };
  const letters = [...wild]; // code points, as the steps count them
  let at = 0;
  const parts = steps.map((step) => {
    if (typeof step === "string") return ["insert", step];
    const part = letters.slice(at, at + Math.abs(step)).join("");
    at += Math.abs(step);
    return [step > 0 ? "equal" : "delete", part];
  });
  return { id, parts, text: parts.filter(([op]) => op !== "delete").map(([, part]) => part).join("") };
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

/** Numbers of the phenotypes whose text holds the words; the server looks, or in a static folder the browser. */
export async function search(screen, words) {
  if (index.served) return (await fetch(`search/${screen}?words=${encodeURIComponent(words)}`)).json();
  const found = [];
  for (let number = 0; number < index.screens[screen].phenotypes; number++) {
    const { text } = await phenotype(screen, number);
    if (text !== null && text.toLowerCase().includes(words.toLowerCase())) found.push(number);
  }
  return found;
}
