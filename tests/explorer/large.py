"""A synthetic screen of the size of Mistral-7B at tile 64: 1,703,936 sites, 3,407,872 mutants, 400,000 phenotypes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from mutascope.assays.phenotype import content_hash
from mutascope.core.schema import RECORD_SCHEMA
from mutascope.store import ScreenFolder, Shard
from stores import WILD, write_predictions, write_screen

SHAPES = {"q": (64, 64), "k": (16, 64), "v": (16, 64), "o": (64, 64)} | {
    "gate": (224, 64),
    "up": (224, 64),
    "down": (64, 224),
}
UNIT = 10_000


def write_large(
    folder: Path,
    layers: int = 32,
    phenotypes: int = 400_000,
    shapes: Mapping[str, tuple[int, int]] = SHAPES,
    words: int = 80,
) -> Path:
    """Write a finished screen of whole loci in units of 10,000, three mutants in ten of which are NSMs.

    A few phenotypes are as frequent as those of a real screen, and all of them occur.
    """
    random = np.random.default_rng(7)
    loci = [(layer, kind, *shape) for layer in range(layers) for kind, shape in shapes.items()]
    records = pl.concat(_locus(*locus) for locus in loci)
    silent = random.random(len(records)) > 0.3
    nsms = int((~silent).sum())
    said = np.concatenate(
        [np.arange(phenotypes), np.minimum(random.zipf(1.3, nsms - phenotypes), phenotypes) - 1]
    )
    texts = _texts(phenotypes, words, random)
    hashes = np.array([content_hash(text) for text in texts], dtype=object)
    names = np.full(len(records), content_hash(WILD), dtype=object)
    places = random.permutation(said)
    names[~silent] = hashes[places]
    told = records.with_columns(
        silent=pl.Series(silent),
        first_divergence=pl.when(~pl.Series(silent)).then(pl.lit(1, pl.Int32)),
        phenotype=pl.Series(names, dtype=pl.String),
    ).select(list(RECORD_SCHEMA))
    return _written(folder, told, dict(zip(hashes, texts, strict=True)) | {content_hash(WILD): WILD}, loci)


def write_large_predicted(folder: Path, layers: int = 62) -> Path:
    """Write 3,301,376 sites of which every max and min is predicted, and one mutant was run."""
    loci = [(layer, kind, *shape) for layer in range(layers) for kind, shape in SHAPES.items()]
    records = pl.concat(_locus(*locus) for locus in loci)
    silent = np.random.default_rng(7).random(len(records)) > 0.5
    told = records.with_columns(silent=pl.Series(silent), first_divergence=pl.lit(None, pl.Int32))
    shapes = {(layer, kind): (rows, cols) for layer, kind, rows, cols in loci}
    one = told.unique(["layer", "kind"], keep="first", maintain_order=True)
    write_screen(folder, one.with_columns(silent=True, continuation=pl.lit(WILD)), shapes=shapes)
    return write_predictions(folder, told)


def _locus(layer: int, kind: str, rows: int, cols: int) -> pl.DataFrame:
    row, col, mutation = (axis.ravel() for axis in np.indices((rows, cols, 2)))
    return pl.DataFrame({"row": row, "col": col, "mutation": np.array(["max", "min"])[mutation]}).select(
        layer=pl.lit(layer, pl.Int16),
        kind=pl.lit(kind),
        row=pl.col("row").cast(pl.Int32),
        col=pl.col("col").cast(pl.Int32),
        mutation="mutation",
    )


def _texts(count: int, words: int, random: np.random.Generator) -> list[str]:
    """Distinct texts of words of a language of 5,000 with Zipf's law; text number i has the word ``unique<i>``."""
    known = np.array([f"word{i}" for i in range(4_997)] + ["fruit", "fly", "egg"], dtype=object)
    chosen = np.minimum(random.zipf(1.2, (count, words)), len(known)) - 1
    return [f"{WILD} {' '.join(known[::-1][row])} unique{i}" for i, row in enumerate(chosen)]


def _written(
    folder: Path, records: pl.DataFrame, texts: dict[str, str], loci: list[tuple[int, str, int, int]]
) -> Path:
    first = records.unique(["layer", "kind"], keep="first", maintain_order=True)
    shapes = {(layer, kind): (rows, cols) for layer, kind, rows, cols in loci}
    write_screen(folder, first.drop("phenotype").with_columns(continuation=pl.lit(WILD)), shapes=shapes)
    store = ScreenFolder(folder)
    manifest = store.manifest()
    manifest.units.mutants, manifest.units.size = len(records), UNIT
    manifest.design.mutations = ["max", "min"]
    for locus in manifest.loci:
        locus.sampled_sites = locus.site_rows * locus.site_cols
    store.write_manifest(manifest)
    for number in range(-(-len(records) // UNIT)):
        part = records.slice(number * UNIT, UNIT)
        ids = part["phenotype"].unique(maintain_order=True).to_list()
        said = [texts[name] for name in ids]
        store.write_unit(
            f"{number:06d}", Shard(part, pl.DataFrame({"phenotype": ids, "text": said, "continuation": said}))
        )
    return folder
