"""Options that several verbs share. One that is not given is None, so that a key of a SPEC.yaml counts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mutascope.core.operators import OPERATORS, default_mutations, predictable_mutations

Folder = Annotated[str, typer.Argument(help="screen folder", show_default=False)]
Folders = Annotated[list[str], typer.Argument(help="screen folders", show_default=False)]
Palette = Annotated[str, typer.Option(help="paper or colourblind")]

# how a model is loaded: screen and predict have all of them; verbs that load the model of a screen again take its
# dtype and numerics from the folder

Device = Annotated[
    str | None, typer.Option(help="cpu, cuda or cuda:1; default cuda where there is one", show_default=False)
]
Dtype = Annotated[str | None, typer.Option(help="of the weights; default float32", show_default=False)]
Numerics = Annotated[
    str | None,
    typer.Option(help="own, or stock: torch's kernels, to audit; default own", show_default=False),
]
AllowPickle = Annotated[
    bool | None, typer.Option("--allow-pickle", help="accept weights that can run code when they are loaded")
]
TrustRemoteCode = Annotated[
    bool | None, typer.Option("--trust-remote-code", help="run code that comes with the model")
]

# what is run

ModelName = Annotated[
    str | None, typer.Option(help="alias, folder or Hub id; default smollm2-135m", show_default=False)
]
AssayName = Annotated[
    str | None,
    typer.Option(
        help="preset, YAML file, or folder of questions by subject; default drosophila", show_default=False
    ),
]
Layers = Annotated[str | None, typer.Option(help="such as 0,15 or 0-5; default all")]
Kinds = Annotated[str | None, typer.Option(help="such as v,down; default all")]
Tile = Annotated[str | None, typer.Option(help="side of a tile, or auto; default auto", show_default=False)]
Mutations = Annotated[
    str | None,
    typer.Option(help=f"of {', '.join(OPERATORS)}; default {','.join(default_mutations())}"),
]
Predictable = Annotated[
    str | None,
    typer.Option(help=f"of those that are fills; default {','.join(predictable_mutations())}"),
]
SampleSeed = Annotated[int | None, typer.Option(help="seed of the draw; default 0")]
Engine = Annotated[str | None, typer.Option(help="fast or reference; default fast")]
Batch = Annotated[
    int | None, typer.Option(help="mutants at a time; default what memory holds", show_default=False, min=1)
]
Shards = Annotated[
    str | None,
    typer.Option("--shard", help="such as 3/64, or auto in a Slurm array or SkyPilot job; default all"),
]
Executors = Annotated[str | None, typer.Option("--executor", help="local or ray; default local")]
Workers = Annotated[
    int | None,
    typer.Option(
        help="processes that share the work, one per GPU or sharing the cores; default 1, with ray all GPUs",
        min=1,
    ),
]
Address = Annotated[str | None, typer.Option(help="of a Ray cluster, such as auto or ray://head:10001")]

# what replaces fields of the assay

Measure = Annotated[
    bool | None, typer.Option("--measure", help="also measure every mutant along the wild type's text")
]
NullSeed = Annotated[
    int | None,
    typer.Option(
        "--null", help="seed: shuffle the elements of every locus of the design first; default not shuffled"
    ),
]
Seed = Annotated[int | None, typer.Option(help="replaces the assay's seed")]
Seeds = Annotated[
    str | None,
    typer.Option(
        help="several, such as 0-7: the chance of silence over the texts of all; the first is that of the records",
        show_default=False,
    ),
]
MaxLength = Annotated[int | None, typer.Option(help="replaces the assay's length, prompt included")]
Questions = Annotated[
    str | None, typer.Option(help="of a choice assay: folder, CSV, JSONL, Hub dataset or general")
]
Subject = Annotated[str | None, typer.Option(help="of the questions, such as astronomy")]
Shots = Annotated[int | None, typer.Option(help="solved examples before each question; default 5")]
Right = Annotated[
    str | None, typer.Option(help="questions of a subject that the wild type gets right, or all; default 14")
]
Wrong = Annotated[
    str | None, typer.Option(help="questions of a subject that the wild type gets wrong, or all; default 7")
]


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}
