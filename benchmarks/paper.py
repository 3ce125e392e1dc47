"""Logs of two made-up models of the paper's dimensions, as the authors' scripts write them, imported into screens.

    python benchmarks/paper.py FOLDER --counts llama2_7b_nsm_counts.csv --tile 256
    mutascope analyze FOLDER/screens/* --out FOLDER/tables
    mutascope figures FOLDER/screens/* --out FOLDER/figures
    mutascope report FOLDER/screens/* --out FOLDER/report.html

The first model has the shapes of Llama-2-7b and the published NSM counts of every locus, the second those of Zephyr and
NSM rates of 5 % (mmlu21), 50 % (python0) and 95 % (newton). Tile 64 is the real size; a larger one takes fewer sites.
In a locus, NSMs gather in rows and columns, in a complementary pattern, and on the tiles of massive activations.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from mutascope.assays import TextAssay, load_assay
from mutascope.assays.phenotype import content_hash
from mutascope.core.kinds import CODES, KINDS
from mutascope.core.manifest import Manifest
from mutascope.core.schema import FORMAT_VERSION, LOCUS_KEY, MUTANT_KEY, OUTPUT_SCHEMA
from mutascope.interop.authors import AuthorsFiles, import_authors
from mutascope.interop.authors.importing import SHAPES
from mutascope.store import ScreenFolder, Shard
from mutascope.store.reader import ScreenData

LAYERS = 32
MUTATIONS = ("zero", "max", "min")
"""In the order of the scripts."""
TEXTS = ("python0", "python10", "java", "drosophila", "newton")
RATES = {"python0": 0.5, "python10": 0.4, "java": 0.6, "drosophila": 0.7, "newton": 0.95, "mmlu21": 0.05}
"""Of the second model, of all three mutations."""
MASSIVE = {"llama2-7b": (1415, 2533), "zephyr": (2070,)}
WILD_ANSWERS = "ABCDABCDABCDABCDABCDA"
PROMPTS = 151
WORDS = ("The", "It", "staring", "otta", "betrayal")


def seeded(*names: object) -> np.random.Generator:
    """Return a generator that depends on the names alone."""
    return np.random.default_rng(zlib.crc32(" ".join(map(str, names)).encode()))


def rate(model: str, assay: str, layer: int, kind: str, counts: dict[tuple[str, int, str], int]) -> float:
    """Return the share of NSMs among the mutants of a locus: the published one, or one that is even over layers."""
    rows, cols = SHAPES[model][kind]
    if model == "llama2-7b":
        return counts[assay, layer, kind] / (rows * cols / 64**2 * len(MUTATIONS))
    if assay == "mmlu21" and (layer, kind) == (30, "down"):
        return 0.0
    return float(np.clip(RATES[assay] * seeded(model, assay, layer, kind).normal(1, 0.1), 0, 0.98))


def scores(model: str, assay: str, layer: int, kind: str, tile: int) -> np.ndarray:
    """Return how much every mutant does [rows, cols, mutations], for the most part in every assay alike."""
    rows, cols = (side // tile for side in SHAPES[model][kind])
    same, own = seeded(model, layer, kind), seeded(model, layer, kind, assay)
    sites = same.normal(size=(rows, cols)) + same.normal(size=(rows, 1)) + 1.5 * same.normal(size=(1, cols))
    if KINDS[kind].stream == "reads":
        sites[:, [hidden // tile for hidden in MASSIVE[model]]] += 3
    sign = np.sign(same.normal(size=(rows, 1)) * same.normal(size=(1, cols)))
    lean = 0.3 * same.normal()
    ways = np.stack([np.full_like(sign, -1.5), sign + lean, -sign - lean], axis=-1)
    return sites[..., None] + ways + own.normal(size=(rows, cols, len(MUTATIONS)))


def text(assay: str, prompt: str, severity: float, number: int) -> str:
    """Return a text that shares a beginning with that of the wild type, number 0: the shorter, the more severe."""
    words = [f"{assay}{index % 40}" for index in range(90)]
    kept = len(words) if not number else int((1 - severity) * (len(words) - 1))
    rest = [f"w{zlib.crc32(f'{number} {index}'.encode()) % 900}" for index in range(kept, len(words))]
    return f"<s> {prompt} {' '.join([*words[:kept], *rest])}"


def answers(severity: float, number: int) -> str:
    """Return answers and their tally; the wild type has 14 right of 21."""
    said = list(WILD_ANSWERS)
    wrong = 0 if not number else 1 + int(severity * 20)
    for index in seeded(number).permutation(21)[:wrong]:
        said[index] = "^n" if severity > 0.8 and index % 3 == 0 else "ABCD"["ABCD".index(said[index]) - 1]
    key = WILD_ANSWERS[:14] + "".join("ABCD"["ABCD".index(letter) - 2] for letter in WILD_ANSWERS[14:])
    right = [a == b for a, b in zip(said, key, strict=True)]
    kept, gained = sum(right[:14]), sum(right[14:])
    tally = f"right: {kept}|{gained} wrong: {14 - kept}|{7 - gained} total: {kept + gained}|{21 - kept - gained}|21"
    return "| |".join([*said, tally])


def write_locus(
    folder: Path, name: str, scored: np.ndarray, share: float, tile: int, said: list[str]
) -> None:
    """Write log, code and finished file of a matrix; what does most has the most severe text."""
    number = round(share * scored.size)
    order = np.argsort(-scored, axis=None)[:number]
    texts = np.zeros(scored.size, dtype=np.int64)
    strongest = np.linspace(0, 1, number, endpoint=False) ** 2
    texts[order] = 1 + (strongest * (len(said) - 1)).astype(np.int64)
    by_columns = texts.reshape(scored.shape).transpose(1, 0, 2)
    codes: dict[int, int] = {}
    log = []
    for col, row, mutation in np.argwhere(by_columns):
        told = int(by_columns[col, row, mutation])
        code = codes.setdefault(told, len(codes))
        log.append(f"{MUTATIONS[mutation]} {name}:{row * tile},{col * tile}:{code}\n")
    entries = [f"{name}:{code}\n{said[told]}\n%%%%%%\n" for told, code in codes.items()]
    seed = 10 if folder.name.endswith("python10") else 0
    opening = f"seed:{seed} step: {tile}\nstandard output:\n{said[0]}\n%%%%%%\n"
    (folder / f"x_{name}_code_110723.txt").write_text(opening + "".join(entries), encoding="ascii")
    (folder / f"x_{name}_log_110723.txt").write_text("".join(log), encoding="ascii")
    last = [(side - 1) * tile for side in scored.shape[:2]]
    (folder / f"x_{name}_finished_110723.txt").write_text(f"{last[0]},{last[1]}", encoding="ascii")


def write_logs(
    folder: Path, model: str, assay: str, counts: dict[tuple[str, int, str], int], tile: int
) -> None:
    """Write the files of one experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    distinct = range(2000)
    if assay == "mmlu21":
        said = [answers(1 - number / len(distinct), number) for number in distinct]
    else:
        stated = load_assay(assay)
        assert isinstance(stated, TextAssay)
        prompt = str(stated.prompt)
        said = [text(assay, prompt, 1 - number / len(distinct), number) for number in distinct]
    names = []
    for layer in range(LAYERS):
        for kind in SHAPES[model]:
            names.append(f"model.layers.{layer}.{CODES[kind]}.weight")
            scored = scores(model, assay, layer, kind, tile)
            write_locus(folder, names[-1], scored, rate(model, assay, layer, kind, counts), tile, said)
    (folder / "x_done_110723.txt").write_text("".join(f"{name}\n" for name in names), encoding="ascii")


def import_logs(folder: Path, out: Path, model: str, assay: str) -> None:
    """Import the files of one experiment."""
    files = AuthorsFiles(
        *(sorted(folder.glob(f"*_{what}_*")) for what in ("log", "code", "done", "finished"))
    )
    choice = assay == "mmlu21"
    stated = {"name": assay} if choice else load_assay(assay).model_dump(mode="json", exclude_none=True)
    made = import_authors(files, out, model=model, shapes=SHAPES[model], assay=stated, choice=choice)
    print(f"{out}: {made.mutants:,} mutants, {made.nsm:,} NSMs", flush=True)


def write_panel(screen: Path, out: Path, model: str) -> None:
    """Write a writer panel of some NSMs of low cosine, with rare words by row."""
    results, random = ScreenData(screen), seeded(model, "panel")
    nsms = results.records().filter(~pl.col("silent"), pl.col("mutation") != "zero")
    chosen = nsms.sample(4000, seed=1).sort(*MUTANT_KEY).drop("code")
    few = (pl.col("kind") == "down") & pl.col("layer").is_in([1, 30]) & (pl.col("row") % 5 == 0)
    rare = chosen.select(pl.when(few).then(2 + pl.col("row") % 3).otherwise(0)).to_series().to_numpy()
    told = [f"{word} {number} a fly." for word in WORDS for number in range(50)]
    hashes = np.array([content_hash(each) for each in told])
    leads = np.repeat(rare, PROMPTS) * (random.random(len(chosen) * PROMPTS) < 0.7)
    said = hashes[leads * 50 + random.integers(0, 50, len(leads))]
    outputs = (
        chosen.select(*MUTANT_KEY)
        .join(pl.DataFrame({"prompt": range(PROMPTS)}), how="cross", maintain_order="left")
        .with_columns(first_divergence=pl.lit(None), phenotype=pl.Series(said))
        .select(pl.col(name).cast(kind) for name, kind in OUTPUT_SCHEMA.items())
    )
    wild = {
        "phenotype": content_hash("The egg."),
        "text": "The egg.",
        "continuation": "The egg.",
        "tokens": [],
    }
    genres = ["drosophila", *["literary"] * 100, *["factual"] * 50]
    manifest = results.manifest.to_dict() | {
        "format_version": FORMAT_VERSION,
        "assay": {"name": "panel", "type": "panel"},
        "prompts": [
            {"text": f"Say {number}:", "tokens": [], "genre": genre} for number, genre in enumerate(genres)
        ],
        "design": {"type": "list", "mutations": ["max", "min"], "sha256": "0" * 64},
        "units": {"mutants": len(chosen), "size": len(chosen)},
        "wild_type": [wild] * PROMPTS,
    }
    manifest["loci"] = list(_loci_of(chosen, manifest["loci"]))
    store = ScreenFolder(out)
    store.write_manifest(Manifest.model_validate(manifest))
    known = results.phenotypes().join(chosen, on="phenotype", how="semi")
    shown = pl.DataFrame({"phenotype": hashes, "text": told, "continuation": told})
    store.write_unit("000000", Shard(chosen, pl.concat([shown, known]), outputs))


def _loci_of(chosen: pl.DataFrame, loci: list[dict]) -> Iterator[dict]:
    sites = chosen.group_by(LOCUS_KEY).agg(pl.struct("row", "col").n_unique())
    sampled = {(layer, kind): number for layer, kind, number in sites.iter_rows()}
    for locus in loci:
        if number := sampled.get((locus["layer"], locus["kind"])):
            yield locus | {"region_sites": None, "sampled_sites": number}


def main() -> None:
    """Write and import everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--counts", type=Path, required=True, help="CSV: layer, matrix, a column per assay")
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--assays", default=",".join([*TEXTS, "mmlu21"]))
    parser.add_argument("--models", default=",".join(SHAPES))
    options = parser.parse_args()
    table = pl.read_csv(options.counts).unpivot(index=["layer", "matrix"], variable_name="assay")
    counts = {(assay, layer, kind): n for layer, kind, assay, n in table.iter_rows()}
    for model in options.models.split(","):
        for assay in options.assays.split(","):
            logs, out = (
                options.folder / "logs" / f"{model}_{assay}",
                options.folder / "screens" / f"{model}_{assay}",
            )
            if out.exists():
                continue
            write_logs(logs, model, assay, counts, options.tile)
            import_logs(logs, out, model, assay)
        panel = options.folder / "screens" / f"{model}_panel"
        if (screen := options.folder / "screens" / f"{model}_drosophila").exists() and not panel.exists():
            write_panel(screen, panel, model)


if __name__ == "__main__":
    main()
