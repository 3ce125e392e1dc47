"""Seconds and peak memory of analyze, figures and report on synthetic screens of the size of a complete 7B screen.

    python benchmarks/analysis.py FOLDER --steps make
    python benchmarks/analysis.py FOLDER --steps open,analyze,figures,report

``make`` writes, by a fixed seed, a complete text screen of Llama-2-7b's shapes at tile 64 (224 loci, 3.2 million
mutants, 54 % of them NSMs, 40,000 distinct texts of about 600 characters, covariates), and samples of 10,000 sites of
a second text assay and of a choice assay with the same loci, and a writer panel, so that every analysis has its data.
The other steps share what they have read and computed, as they do in a notebook; each verb of the command line reads
the screens for itself.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from mutascope import ScreenSet, write_figures, write_report, write_tables
from mutascope.assays.phenotype import content_hash
from mutascope.core.manifest import Manifest
from mutascope.core.schema import (
    COVARIATE_SCHEMA,
    FORMAT_VERSION,
    LOCUS_KEY,
    MUTANT_KEY,
    OUTPUT_SCHEMA,
    RECORD_SCHEMA,
    SITE_KEY,
)
from mutascope.store import ScreenFolder, Shard

LAYERS, TILE = 32, 64
SHAPES = {**dict.fromkeys("qkvo", (64, 64)), "gate": (172, 64), "up": (172, 64), "down": (64, 172)}
TEXTS, WORDS, NSM_RATE = 40_000, 100, 0.54
MASSIVE = (22, 39)
PROMPTS = 151
SCREENS = ("drosophila", "newton", "mmlu21", "panel")
STEPS = ("make", "open", "analyze", "figures", "report")


def sites_of(layer: int, kind: str, random: np.random.Generator) -> pl.DataFrame:
    """Every site of a locus with its max and min NSMs: a base rate, massive columns, a complementary pattern."""
    high, wide = SHAPES[kind]
    row, col = np.indices((high, wide)).reshape(2, -1)
    chance = np.full((high, wide), np.clip(random.normal(NSM_RATE, 0.15), 0.05, 0.95))
    chance[:, list(MASSIVE)] = 0.97
    sign = np.sign(random.normal(size=(high, 1)) * random.normal(size=(1, wide)))
    nsm = [random.random((high, wide)) < np.clip(chance * (1 + 0.2 * way * sign), 0, 1) for way in (1, -1)]
    return pl.DataFrame({"row": row, "col": col, "max": nsm[0].ravel(), "min": nsm[1].ravel()}).select(
        pl.lit(layer, pl.Int16).alias("layer"), pl.lit(kind).alias("kind"), pl.all()
    )


def records_of(
    sites: pl.DataFrame, phenotypes: np.ndarray, wild: str, random: np.random.Generator
) -> pl.DataFrame:
    """A record of max and of min per site; few phenotypes are common and most are rare, as in real screens."""
    both = sites.unpivot(["max", "min"], index=[*SITE_KEY], variable_name="mutation", value_name="nsm")
    pick = (len(phenotypes) * random.random(len(both)) ** 3).astype(np.int64)
    nsm = pl.col("nsm")
    told = both.with_columns(
        silent=~nsm,
        phenotype=pl.when(nsm).then(pl.Series(phenotypes[pick])).otherwise(pl.lit(wild)),
        first_divergence=pl.when(nsm).then(pl.Series(random.integers(0, 140, len(both)))),
    )
    return told.select(pl.col(name).cast(kind) for name, kind in RECORD_SCHEMA.items())


def texts_of(count: int, random: np.random.Generator) -> list[str]:
    """Distinct texts; text 0 is the wild type's, and the others share a beginning of any length with it."""
    letters = np.array(list("etaoinshrdlucmfw"))
    words = np.array(["".join(random.choice(letters, size)) for size in random.integers(2, 9, 3000)])
    rank = 1 / np.arange(1, len(words) + 1)
    wild = random.choice(words, WORDS, p=rank / rank.sum())
    texts = [" ".join(wild)]
    for number in range(1, count):
        kept = random.integers(0, WORDS)
        rest = random.choice(words, WORDS - kept, p=rank / rank.sum())
        texts.append(" ".join([*wild[:kept], *rest, str(number)]))
    return texts


def manifest_of(
    name: str, records: pl.DataFrame, wild: list[str], prompts: list[str], sample: int | None
) -> Manifest:
    sites = records.group_by(*LOCUS_KEY).agg(n=pl.struct("row", "col").n_unique())
    sampled = {(layer, kind): n for layer, kind, n in sites.iter_rows()}
    loci = [
        {
            "layer": layer,
            "kind": kind,
            "rows": high * TILE,
            "cols": wide * TILE,
            "site_rows": high,
            "site_cols": wide,
            "region_sites": high * wide,
            "sampled_sites": sampled.get((layer, kind), 0),
        }
        for layer in range(LAYERS)
        for kind, (high, wide) in SHAPES.items()
    ]
    design = {"type": "full"} if sample is None else {"type": "sample", "sample": sample, "sample_seed": 0}
    hashes = [content_hash(text) for text in wild]
    stored = {
        "format_version": FORMAT_VERSION,
        "model": {
            "name": "synthetic-7b",
            "architecture": "LlamaForCausalLM",
            "dtype": "float32",
            "fingerprint": "0" * 64,
            "tokenizer": "0" * 16,
        },
        "assay": {"name": name, "prompt": prompts[0], "seed": 0, "max_length": 150, "temperature": 0.7},
        "generation": {"do_sample": True, "temperature": 0.7, "top_k": 50, "max_length": 150},
        "prompts": [{"text": prompt, "tokens": [1]} for prompt in prompts],
        "design": {**design, "mutations": ["max", "min"], "sha256": "0" * 64},
        "tile": TILE,
        "engine": "fast",
        "loci": loci,
        "units": {"mutants": len(records), "size": max(1, len(records) // 1000)},
        "wild_type": [
            {"phenotype": h, "text": t, "continuation": t, "tokens": [1]}
            for h, t in zip(hashes, wild, strict=True)
        ],
        "libraries": {"mutascope": "0.1.0"},
        "controls": {
            "engine": "fast",
            "weights_restored": True,
            "replayed": 3,
            "replay_mismatches": [],
            "noops": 8,
            "noops_not_silent": [],
        },
    }
    return Manifest.model_validate(stored)


def write(
    folder: Path,
    manifest: Manifest,
    records: pl.DataFrame,
    texts: pl.DataFrame,
    outputs: pl.DataFrame | None = None,
) -> None:
    store, size = ScreenFolder(folder), manifest.units.size
    store.write_manifest(manifest)
    for unit, start in enumerate(range(0, len(records), size)):
        part = records[start : start + size]
        said = part["phenotype"] if outputs is None else pl.concat([part["phenotype"], outputs["phenotype"]])
        store.write_unit(
            f"{unit:06d}",
            Shard(part, texts.filter(pl.col("phenotype").is_in(said.unique().implode())), outputs),
        )


def covariates_of(sites: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    reads = ~pl.col("kind").is_in(["o", "down"])
    massive = reads & pl.col("col").is_in(MASSIVE)
    norms = ("tile_norm", "change_max", "change_min", "change_zero", "input_norm", "input_max")
    return sites.with_columns(
        **{name: pl.Series(random.lognormal(size=len(sites))) for name in norms},
        stream_ratio=pl.when(massive).then(pl.lit(2000.0)).when(reads).then(pl.lit(3.0)),
        massive=massive,
    ).select(pl.col(name).cast(kind) for name, kind in COVARIATE_SCHEMA.items())


def make(root: Path) -> None:
    random = np.random.default_rng(0)
    loci = [(layer, kind) for layer in range(LAYERS) for kind in SHAPES]
    sites = pl.concat(sites_of(layer, kind, random) for layer, kind in loci)
    said = texts_of(TEXTS + 1, random)
    hashes = np.array([content_hash(text) for text in said])
    texts = pl.DataFrame({"phenotype": hashes, "text": said, "continuation": said})
    order = [*SITE_KEY]
    whole = records_of(sites, hashes[1:], hashes[0], random).sort(*order, "mutation")
    write(root / "drosophila", manifest_of("drosophila", whole, said[:1], ["Say:"], None), whole, texts)
    ScreenFolder(root / "drosophila").write_covariates(covariates_of(sites, random))
    few = sites.sample(10_000, seed=0).sort(order)
    other = {name: pl.col(name) ^ pl.Series(random.random(len(few)) < 0.2) for name in ("max", "min")}
    few = few.with_columns(**other)
    second = records_of(few, hashes[1:], hashes[0], random).sort(*order, "mutation")
    write(root / "newton", manifest_of("newton", second, said[:1], ["Say more:"], 10_000), second, texts)
    make_choice(root, second, random)
    make_panel(root, whole, texts, random)


def make_choice(root: Path, second: pl.DataFrame, random: np.random.Generator) -> None:
    wild = [*"ABCDABCDABCDABCDABCDA"]
    kept = random.integers(0, len(wild), len(second))
    answers = [
        "\n".join([*wild[:n], *["the" if n % 5 == 0 else "A"] * (len(wild) - n)])
        for n in range(len(wild) + 1)
    ]
    hashes = np.array([content_hash(answer) for answer in answers])
    place = np.where(second["silent"].to_numpy(), len(wild), kept)
    records = second.with_columns(
        phenotype=pl.Series(hashes[place]),
        silent=pl.Series(hashes[place]) == hashes[-1],
        score=pl.Series(place * 14 // len(wild), dtype=pl.Int16),
        destructive=pl.Series((place % 5 == 0) & (place < len(wild))),
    )
    texts = pl.DataFrame({"phenotype": hashes, "text": answers, "continuation": answers})
    prompts = [f"Question {number}?" for number in range(len(wild))]
    write(root / "mmlu21", manifest_of("mmlu21", records, wild, prompts, 10_000), records, texts)


def make_panel(root: Path, whole: pl.DataFrame, texts: pl.DataFrame, random: np.random.Generator) -> None:
    chosen = whole.filter(~pl.col("silent")).sample(2000, seed=1).sort(*MUTANT_KEY)
    words = np.array(["The", "It", "staring", "otta", "betrayal", "moon"])
    said = np.array([f"{word} {number} a fly." for word in words for number in range(50)])
    hashes = np.array([content_hash(text) for text in said])
    rows = chosen.select(*MUTANT_KEY)
    leading = np.where(chosen["row"].to_numpy() % 64 == 5, 2 + chosen["col"].to_numpy() % 4, 0)
    pick = np.repeat(leading, PROMPTS) * (random.random(len(rows) * PROMPTS) < 0.7) * 50 + random.integers(
        0, 50, len(rows) * PROMPTS
    )
    outputs = rows.join(
        pl.DataFrame({"prompt": range(PROMPTS)}), how="cross", maintain_order="left"
    ).with_columns(first_divergence=pl.lit(None), phenotype=pl.Series(hashes[pick]))
    typed = outputs.select(pl.col(name).cast(kind) for name, kind in OUTPUT_SCHEMA.items())
    told = pl.DataFrame({"phenotype": hashes, "text": said, "continuation": said})
    manifest = manifest_of(
        "panel", chosen, ["The egg hatches."] * PROMPTS, [f"Say {n}:" for n in range(PROMPTS)], None
    )
    manifest.units.size = len(chosen)
    write(root / "panel", manifest, chosen, pl.concat([told, texts]), typed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", default=",".join(STEPS))
    options = parser.parse_args()
    root, out = options.folder / "screens", options.folder
    given: list[ScreenSet] = []
    work: dict[str, Callable[[], object]] = {
        "make": lambda: make(root),
        "open": lambda: given.append(ScreenSet([root / name for name in SCREENS])),
        "analyze": lambda: write_tables(given[0], out / "tables", print),
        "figures": lambda: write_figures(given[0], out / "figures", tell=print),
        "report": lambda: write_report(given[0], out / "report.html", tell=print),
    }
    first = time.perf_counter()
    for step in options.steps.split(","):
        start = time.perf_counter()
        work[step]()
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(
            f"STEP {step}: {time.perf_counter() - start:.1f} s; so far {used.ru_utime + used.ru_stime:.1f} s of"
            f" processor time, peak memory {used.ru_maxrss / 2**20:.2f} GB",
            flush=True,
        )
    print(f"STEP all: {time.perf_counter() - first:.1f} s")


if __name__ == "__main__":
    main()
