// What the pages of data hold, as explorer/shapes.py names it, and what the views make of it. Read by the type checker alone.

export interface Atlas { version: string; served: boolean; live: boolean; palettes: Record<string, Record<string, string>>; screens: Screen[]; panels: Panel[] }

export interface Screen {
  label: string; folder: string; stamp: string; title: string; model: string; assay: string; type: string; tile: number;
  predicted: boolean; imported: boolean; finished: boolean; done: number; total: number;
  mutations: string[]; measures: string[]; prompt: string; wild_type: string;
  keys: string[]; letters: string[]; questions: string[]; answered: string[];
  phenotypes: number; severity: boolean; piece: number; word_pieces: number; loci: Locus[];
}

export interface Locus {
  name: string; layer: number; kind: string; rows: number; cols: number; transposed: boolean;
  counts: number[]; exact: number; phenotypes: number; cosine: number | null; enriched: number;
}

export interface Panel { label: string; title: string; folder: string; stamp: string; prompts: string[]; genres: (string | null)[]; wild_type: string[]; mutants: string[] }

export interface Sentence { sentence: string; screen: number | null; locus: string | null; line: string | null }
export interface Section { name: string; section: string; sentences: Sentence[] }
export interface Refused { refused: string }

export type Values = (Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array) & { shape: number[] };
export type Arrays = Record<string, Values>;
export interface Packed { arrays: Arrays }
export interface WordsPage extends Packed { words: string[] }
/** `of`: what is known of every site, by mutation and name. */
export interface LocusPage extends Packed { rows: number; cols: number; of: Record<string, Arrays> }
export interface Spoken { id: string; text: string | null }

export interface Mutant { locus: string; row: number; col: number; mutation: string; chosen?: boolean }
/** The same row or column of a kind in every layer. */
export interface Line { axis: string; index: number; kind: string }
/** A mutant that a screen has: its state and arrays at its site, its phenotype, and all mutants of that. */
export interface Found extends Mutant { screen: Screen; page: LocusPage; state: number; of: Arrays; i: number; number: number; same: Mutant[] }

/** What the address says; entries without a default may be absent. */
export type At = { view: string; screen: string; colour: string; mutation: string; order: string; palette: string } & { [entry: string]: string | undefined };
export type Changes = Record<string, string | number | null | undefined>;

export type Child = Node | string | null | undefined | Child[];
export type Attributes = Record<string, string | number | boolean | null | undefined | ((event: any) => unknown)>;
export type Step = ["equal" | "delete" | "insert", string];
/** Red, green and blue, up to 255. */
export type Colour = number[];

/** A way to colour the sites of a locus: `of` is the value of a mutant, `keep` the end that a threshold keeps. */
export interface Mode {
  word: string; keep: "low" | "high"; shown: (value: number) => string; of?: (mutant: Arrays, i: number) => number;
  flipped?: boolean; identity?: boolean; silent?: boolean;
}
/** A way to colour whole loci. */
export interface LocusMode { word: string; of?: (locus: Locus) => number; percent?: boolean }
export interface Flat { values: number[]; low: number; high: number; colours: Map<string, Colour> }

export interface Track { counts: Uint32Array; q: Record<string, Values | undefined>; norm?: Values; range: number[] | null; massive?: Values }

/** The map of a locus as a chart draws it. */
export interface DrawnMap {
  locus: LocusPage; locusName: string; screen: Screen; status: Uint8Array; pixels: Uint8ClampedArray; values: Float32Array;
  range: number[]; limit: number; mode: Mode; name: string; modes: Record<string, Mode>; mutation: string; order: string; counts: number[];
  rows: number; cols: number; transposed: boolean; title: string; label: string; rowOrder: Order; colOrder: Order;
  rowTrack: Track; colTrack: Track; colours: Colour[]; screened: { top: number; bottom: number; left: number; right: number }; marks: Mutant[]; line: Line | null;
}
/** Which line is where. */
export type Order = Uint32Array | Values;
/** Lines on their way to another order. */
export interface Moved { byColumn: boolean; places: number[] }

export interface Place { l: Locus; x: number; y: number; high: number; wide: number }
export interface Tag { text: string; x: number; y: number }
export interface World { places: Place[]; labels: { kinds: Tag[]; layers: Tag[] }; kinds: string[]; layers: number[]; size: number[]; scale: number }

declare global {
  /** Pages of data that a page takes along, in base 64. */
  var embedded: Record<string, string> | undefined;
}
