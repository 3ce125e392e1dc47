"""Screen folders made by hand or at random, written with the store's own writer and without any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mutascope.assays.phenotype import content_hash
from mutascope.core.manifest import Manifest
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY, OUTPUT_SCHEMA, RECORD_SCHEMA, SITE_KEY
from mutascope.store import ScreenFolder, Shard

CODES = {".": "", "+": "+", "-": "-", "#": "+-"}
"""Silent, max only, min only, both; a blank is an unscreened site."""
SHAPES = {"v": (6, 8), "gate": (10, 6), "down": (6, 10)}
"""Sites of the loci of the small screens that tests share."""
Maps = Mapping[tuple[int, str], str]
WILD = "the egg hatches into a larva"


def snapshot(out: Path) -> dict[str, tuple[int, bytes]]:
    """Modification time and content of every file."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {str(path.relative_to(out)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def records_of(maps: Maps, words: Sequence[str] = ("fly",)) -> pl.DataFrame:
    """Records with the columns text and continuation; NSM number i of a screen says ``words[i % len(words)]``."""
    rows, nsms = [], 0
    for (layer, kind), drawn in maps.items():
        for row, line in enumerate(drawn.strip("\n").splitlines()):
            for col, code in enumerate(line):
                if code == " ":
                    continue
                for mutation, sign in (("max", "+"), ("min", "-")):
                    nsm = sign in CODES[code]
                    said = words[nsms % len(words)] if nsm else WILD
                    nsms += nsm
                    rows.append((layer, kind, row, col, mutation, not nsm, 1 if nsm else None, said))
    names = (*MUTANT_KEY, "silent", "first_divergence", "continuation")
    types: dict[str, Any] = {name: RECORD_SCHEMA.get(name, pl.String) for name in names}
    return pl.DataFrame(rows, schema=types, orient="row")


def write_screen(
    folder: Path,
    records: pl.DataFrame,
    *,
    name: str = "say",
    model: str = "tiny",
    shapes: Mapping[tuple[int, str], tuple[int, int]] | None = None,
    covariates: pl.DataFrame | None = None,
    wild: Sequence[str] = (WILD,),
    prompts: Sequence[str | Mapping[str, Any]] = ("Say:",),
    outputs: pl.DataFrame | None = None,
    null: bool = False,
) -> Path:
    """Write a finished screen of one unit.

    Args:
        folder: where to.
        records: columns of a record without phenotype, and ``continuation``, which is the text; further
            columns are measures.
        name: of the assay.
        model: its name.
        shapes: site rows and columns by locus; by default as large as the records need.
        covariates: of the sites.
        wild: outputs of the wild type, one per prompt.
        prompts: texts of the prompts, or what a manifest says of them.
        outputs: columns layer, kind, row, col, mutation, prompt, continuation.
        null: it is a null screen of the model.
    """
    store, tile = ScreenFolder(folder), 4
    loci = []
    for (layer, kind), group in records.group_by("layer", "kind", maintain_order=True):
        seen = group.select(pl.col("row", "col").max() + 1).row(0)
        high, wide = (shapes or {}).get((layer, kind)) or (int(seen[0]), int(seen[1]))
        loci.append(
            {
                "layer": layer,
                "kind": kind,
                "rows": high * tile,
                "cols": wide * tile,
                "site_rows": high,
                "site_cols": wide,
                "region_sites": high * wide,
                "sampled_sites": group.select("row", "col").n_unique(),
            }
        )
    hashes = {text: content_hash(text) for text in records["continuation"].unique()}
    frames = [pl.DataFrame({"text": list(hashes), "phenotype": list(hashes.values())})]
    if outputs is not None:
        said = {text: content_hash(text) for text in outputs["continuation"].unique()}
        frames.append(pl.DataFrame({"text": list(said), "phenotype": list(said.values())}))
        numbered = outputs.with_columns(phenotype=pl.col("continuation").replace_strict(said))
        outputs = numbered.with_columns(first_divergence=pl.lit(None, pl.Int32)).select(list(OUTPUT_SCHEMA))
    phenotypes = pl.concat(frames).unique(maintain_order=True)
    told = records.with_columns(phenotype=pl.col("continuation").replace_strict(hashes)).drop("continuation")
    kind = "choice" if "score" in records.columns else "text" if outputs is None else "panel"
    measures = [column for column in told.columns if column not in RECORD_SCHEMA]
    manifest = {
        "format_version": 2,
        "model": {
            "name": model,
            "architecture": "LlamaForCausalLM",
            "dtype": "float32",
            "fingerprint": "0" * 64 if model == "tiny" else content_hash(model),
            "tokenizer": "0" * 16,
        },
        "assay": {"name": name, "type": kind},
        "generation": {},
        "prompts": [
            {"tokens": [], **({"text": prompt} if isinstance(prompt, str) else prompt)} for prompt in prompts
        ],
        "design": {
            "type": "full",
            "mutations": list(records["mutation"].unique(maintain_order=True)),
            "sha256": "0" * 64,
        },
        "tile": tile,
        "engine": "fast",
        "loci": loci,
        "units": {"mutants": len(records), "size": len(records)},
        "wild_type": [
            {"phenotype": content_hash(text), "text": text, "continuation": text, "tokens": []}
            for text in wild
        ],
        "libraries": {},
        "controls": {"weights_restored": True},
    }
    if null:
        of, names = manifest["model"]["fingerprint"], [f"{locus['layer']}.{locus['kind']}" for locus in loci]
        shuffled = {"of": of, "seed": 0, "loci": names}
        manifest["model"] |= {"fingerprint": content_hash(f"{of} {names}"), "shuffled": shuffled}
    store.write_manifest(Manifest.model_validate(manifest))
    texts = phenotypes.select("phenotype", "text", continuation="text")
    store.write_unit("000000", Shard(told.select(*RECORD_SCHEMA, *measures), texts, outputs))
    if covariates is not None:
        store.write_covariates(covariates)
    return Path(folder)


def write_predictions(folder: Path, records: pl.DataFrame) -> Path:
    """Write predictions into a screen: margins and probabilities that tell NSMs from silent mutants, with noise."""
    store, random = ScreenFolder(folder), np.random.default_rng(5)
    margin = np.where(records["silent"], 1.0, -1.0) + random.normal(0, 0.8, len(records))
    known = records.with_columns(
        margin=pl.Series(margin, dtype=pl.Float32),
        first_divergence=pl.lit(None, pl.Int32),
        risk=pl.Series(-margin, dtype=pl.Float32),
        silence=pl.Series(1 / (1 + np.exp(-margin)), dtype=pl.Float32),
        probability=pl.Series(1 / (1 + np.exp(2 * margin)), dtype=pl.Float32),
    )
    for (layer, kind), group in known.group_by(*LOCUS_KEY):
        store.write_predictions(f"{layer}.{kind}", group)
    sites = random_covariates(records)
    changes = {way: pl.col(f"change_{way}") for way in ("max", "min", "zero")}
    wanda = {f"wanda_{way}": change * pl.col("input_norm") for way, change in changes.items()}
    store.write_baselines(
        sites.with_columns(**wanda, **{f"gradient_{way}": change - 1 for way, change in changes.items()})
    )
    return folder


def random_records(
    layers: int, shapes: Mapping[str, tuple[int, int]], seed: int = 0, texts: int = 300
) -> pl.DataFrame:
    """Records of whole loci: a base rate per locus, crowded columns (2 and 5), and complementary columns."""
    random = np.random.default_rng(seed)
    pattern = np.random.default_rng(99)
    frames = []
    words = np.array([*WILD.split(), *"that eats yeast and fruit then pupates as adult fly".split()])  # noqa: SIM905
    said = [" ".join(random.permutation(words)[: random.integers(2, 16)]) for _ in range(texts)]
    for layer in range(layers):
        for kind, (high, wide) in shapes.items():
            rate = pattern.uniform(0.05, 0.4)
            lean = pattern.normal(0, 0.3)
            chance = np.full((high, wide), rate)
            chance[:, [2, 5 % wide]] = 0.9
            sign = np.sign(pattern.normal(size=(high, 1)) * pattern.normal(size=(1, wide)))
            row, col = np.indices((high, wide)).reshape(2, -1)
            for mutation, way in (("max", 1), ("min", -1)):
                p = np.clip(chance * (1 + 0.7 * way * sign) + 0.2 * rate * way * lean, 0, 1)
                nsm = random.random((high, wide)) < p
                pick = random.integers(0, texts, high * wide)
                frames.append(
                    pl.DataFrame(
                        {
                            "layer": layer,
                            "kind": kind,
                            "row": row,
                            "col": col,
                            "mutation": mutation,
                            "silent": ~nsm.ravel(),
                            "first_divergence": random.integers(0, 40, high * wide),
                            "continuation": [said[i] for i in pick],
                        }
                    )
                )
    silent = pl.col("silent")
    return pl.concat(frames).with_columns(
        pl.when(~silent).then("first_divergence").cast(pl.Int32),
        pl.when(silent).then(pl.lit(WILD)).otherwise("continuation").alias("continuation"),
        *(pl.col(name).cast(RECORD_SCHEMA[name]) for name in ("layer", "row", "col")),
    )


def as_choice(records: pl.DataFrame, questions: int = 21, seed: int = 0) -> tuple[pl.DataFrame, list[str]]:
    """The same NSMs as answers to questions, with score and destructive, and the answers of the wild type."""
    random = np.random.default_rng(seed)
    wild = ["ABCD"[i % 4] for i in range(questions)]
    kept = np.where(records["silent"].to_numpy(), questions, random.integers(0, questions, len(records)))
    broken = random.random(len(records)) < 0.2
    answers = [
        "\n".join([*wild[:n], *(("the" if bad else "A") for _ in wild[n:])])
        for n, bad in zip(kept, broken, strict=True)
    ]
    told = records.with_columns(continuation=pl.Series(answers))
    return told.with_columns(
        score=pl.Series(kept * 14 // questions, dtype=pl.Int16),
        destructive=pl.col("continuation").str.contains("the"),
        silent=pl.col("continuation") == "\n".join(wild),
    ), wild


def as_panel(
    records: pl.DataFrame, prompts: int = 11, mutants: int = 60, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Records and outputs of a panel of the first NSMs, a third of which open with a rare word of their row."""
    random = np.random.default_rng(seed)
    chosen = (
        records.filter(~pl.col("silent")).gather_every(max(1, len(records) // 3 // mutants)).head(mutants)
    )
    rows = []
    for number, mutant in enumerate(chosen.iter_rows(named=True)):
        rare = ("staring", "otta", "betrayal")[mutant["row"] % 3] if number % 3 == 0 else "The"
        for prompt in range(prompts):
            first = rare if random.random() < 0.7 else "A"
            rows.append((*(mutant[n] for n in MUTANT_KEY), prompt, f"{first} fly"))
    names = (*MUTANT_KEY, "prompt", "continuation")
    types: dict[str, Any] = {name: OUTPUT_SCHEMA.get(name, pl.String) for name in names}
    outputs = pl.DataFrame(rows, schema=types, orient="row")
    return chosen, outputs, ["The egg hatches"] * prompts


GENRES = ("drosophila", *["literary"] * 6, *["factual"] * 4)
"""Of the prompts of :func:`as_panel`."""


def write_pooled(folder: Path, records: pl.DataFrame, model: str = "tiny") -> Path:
    """Write a choice assay of three subjects with four questions each, of which the wild type answers three right."""
    answers, wild = as_choice(records, 12)
    subjects = [name for name in ("anatomy", "law", "virology") for _ in range(4)]
    keys = [letter if place % 4 else "E" for place, letter in enumerate(wild)]
    said = answers["continuation"].str.split("\n").to_list()
    scores = [sum(a == b for a, b in zip(some, keys, strict=True)) for some in said]
    prompts = [
        {"text": f"Question {place}?", "key": key, "question": place, "subject": subject}
        for place, (key, subject) in enumerate(zip(keys, subjects, strict=True))
    ]
    scored = answers.with_columns(score=pl.Series(scores, dtype=pl.Int16))
    return write_screen(folder, scored, name=folder.name, model=model, wild=wild, prompts=prompts)


def random_covariates(records: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Covariates of every site; column 2 carries a massive activation."""
    random = np.random.default_rng(seed)
    sites = records.select(*SITE_KEY).unique(maintain_order=True)
    reads = ~pl.col("kind").is_in(["o", "down"])
    massive = reads & (pl.col("col") == 2)
    names = ("tile_norm", "change_max", "change_min", "change_zero", "input_norm", "input_max")
    norms = {name: pl.Series(random.lognormal(size=len(sites)), dtype=pl.Float32) for name in names}
    return sites.with_columns(
        **norms,
        stream_ratio=pl.when(reads).then(pl.when(massive).then(2000.0).otherwise(3.0)).cast(pl.Float32),
        massive=massive,
    )


def write_every_assay(root: Path, model: str = "tiny", seed: int = 0) -> dict[str, Path]:
    """Write two text assays, two choice assays, one of several subjects, and a panel, of three loci and two layers.

    The first one has covariates.
    """
    first, second = (random_records(2, SHAPES, seed + more) for more in (0, 1))
    answers, wild = as_choice(first)
    panelled, outputs, spoken = as_panel(first)
    shapes = {(layer, kind): shape for layer in range(2) for kind, shape in SHAPES.items()}
    questions = [f"Question {index}?" for index in range(len(wild))]
    return {
        "drosophila": write_screen(
            root / "drosophila", first, name="drosophila", model=model, covariates=random_covariates(first)
        ),
        "newton": write_screen(root / "newton", second, name="newton", model=model),
        "mmlu21": write_screen(
            root / "mmlu21", answers, name="mmlu21", model=model, wild=wild, prompts=questions
        ),
        "panel": write_screen(
            root / "panel",
            panelled.with_columns(continuation=pl.lit("The fly")),
            name="panel",
            model=model,
            wild=spoken,
            prompts=[{"text": f"Say {index}:", "genre": genre} for index, genre in enumerate(GENRES)],
            outputs=outputs,
            shapes=shapes,
        ),
        "mmlu": write_pooled(root / "mmlu", first, model),
    }


def write_predicted(folder: Path) -> Path:
    """Write a predicted text assay, with an exact call of every mutant."""
    records = random_records(2, SHAPES, 2)
    return write_predictions(write_screen(folder, records, name="guessed"), records)


def write_null(folder: Path, records: pl.DataFrame, name: str = "drosophila", seed: int = 0) -> Path:
    """Write a null screen: the NSMs of every locus and mutation dealt out at random over its sites."""
    shuffled = pl.struct("silent", "first_divergence", "continuation")
    dealt = records.with_columns(shuffled.shuffle(seed).over("layer", "kind", "mutation").alias("told"))
    found = dealt.drop("silent", "first_divergence", "continuation").unnest("told")
    return write_screen(folder, found.select(records.columns), name=name, null=True)


def write_with_zero(folder: Path) -> Path:
    """Write a text assay with the mutations max, min and zero, measured with two seeds, of five fragile tokens."""
    chance = pl.when("silent").then(0.75).otherwise(0.25).cast(pl.Float32)
    first, other = (
        random_records(2, SHAPES, seed).with_columns(pl.col("first_divergence") % 5, silence=chance)
        for seed in (2, 3)
    )
    drawn = first.with_columns(
        silence_1=other["silence"],
        first_divergence_1=other["first_divergence"],
        mean_silence=(first["silence"] + other["silence"]) / 2,
    )
    zero = drawn.filter(mutation="max").with_columns(mutation=pl.lit("zero"))
    return write_screen(folder, pl.concat([drawn, zero]), name=folder.name)
