"""Names that all parts share: keys, column sets and the version of the format (docs/format.md is the specification)."""

from __future__ import annotations

import polars as pl

FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)

LOCUS_KEY = ("layer", "kind")
SITE_KEY = (*LOCUS_KEY, "row", "col")
MUTANT_KEY = (*SITE_KEY, "mutation")

SITE_SCHEMA = {"layer": pl.Int16, "kind": pl.String, "row": pl.Int32, "col": pl.Int32}
MUTANT_SCHEMA = {**SITE_SCHEMA, "mutation": pl.String}
RECORD_SCHEMA = {
    **MUTANT_SCHEMA,
    "silent": pl.Boolean,
    "first_divergence": pl.Int32,
    "phenotype": pl.String,
}
OUTPUT_SCHEMA = {
    **MUTANT_SCHEMA,
    "prompt": pl.Int32,
    "first_divergence": pl.Int32,
    "phenotype": pl.String,
}
PHENOTYPE_SCHEMA = {"phenotype": pl.String, "text": pl.String, "continuation": pl.String}
COVARIATE_SCHEMA = {
    **SITE_SCHEMA,
    **dict.fromkeys(("tile_norm", "change_max", "change_min", "change_zero"), pl.Float32),
    **dict.fromkeys(("input_norm", "input_max", "stream_ratio"), pl.Float32),
    "massive": pl.Boolean,
}
BASELINE_SCHEMA = {
    **SITE_SCHEMA,
    **dict.fromkeys(("change_max", "change_min", "change_zero"), pl.Float32),
    **dict.fromkeys(("wanda_max", "wanda_min", "wanda_zero"), pl.Float32),
    **dict.fromkeys(("gradient_max", "gradient_min", "gradient_zero"), pl.Float32),
    "input_norm": pl.Float32,
    "massive": pl.Boolean,
}
COMPARED = {name: kind for name, kind in BASELINE_SCHEMA.items() if name not in ("input_norm", "massive")}
"""What all files of baselines have; what a column reads came later."""
PREDICTION_SCHEMA = {
    **MUTANT_SCHEMA,
    "margin": pl.Float32,
    "first_divergence": pl.Int32,
    "risk": pl.Float32,
    "silence": pl.Float32,
    "probability": pl.Float32,
}
PREDICTED = {column: kind for column, kind in PREDICTION_SCHEMA.items() if column != "silence"}
"""What all files of predictions have; ``silence`` came later."""
