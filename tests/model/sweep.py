"""What becomes of every type of causal language model in transformers: ``python tests/model/sweep.py`` writes the table
docs/reference/architectures.md.

Each type is made small with random weights, saved, loaded, screened with six mutants on the reference engine, and each
mutant is made again by other code.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builders import tiny_tokenizer
from model.small_configs import cut_config, small_config
from mutascope import Design, Model, Mutant, MutascopeError, Screen, Tiling, load_genome, load_model
from mutascope.assays.assay import decode
from mutascope.assays.text import TextAssay
from mutascope.core.errors import Unsupported
from mutascope.core.genome import Genome, Locus
from mutascope.core.kinds import grouped
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.loading_errors import explain

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "architectures.md"
TYPES = tuple(NAMES)
TILE = 16
ASSAY = TextAssay(name="sweep", prompt="The", max_new_tokens=4, greedy=True)
_STD = 0.1
"""Standard deviation of the weights: enough that mutants range from silent to non-silent."""


def examine(model_type: str, folder: Path) -> dict[str, Any]:
    """Return the row of a type: what is found in it, or the sentence with which it is refused.

    Raises:
        AssertionError: when a mutant is not what its name says.
    """
    row: dict[str, Any] = {"type": model_type}
    try:
        config, small = _config(model_type)
    except StrictDataclassError as error:
        return {**row, "refused": explain("the model", error)}
    config.save_pretrained(folder)
    try:
        found, network = load_genome(str(folder))
        if not small:
            return {**row, **_described(found, network), "reference_alone": "not tried: too large"}
        _save(config, folder)
        model = load_model(str(folder), device="cpu")
        assert model.genome == found, "the genome of the configuration is that of the weights"
        texts = _screen(model, folder / "out")
    except MutascopeError as refused:
        return {**row, "refused": str(refused).replace(str(folder), "the model")}
    for mutant, text in texts.items():
        assert text == _made_by_hand(model, mutant), f"{mutant} of {model_type}"
    for locus in found:
        kind, _, which = locus.kind.partition(".")
        if kind in ("gate", "up"):
            down = found.locus(locus.layer, f"down.{which}" if which else "down")
            assert locus.rows == down.cols, f"{locus.name} of {model_type} is not what {down.name} reads"
    return {**row, **_described(found, model.network), "reference_alone": _why_not_fast(model)}


def _config(model_type: str) -> tuple[PreTrainedConfig, bool]:
    """Return a configuration, and whether it is small."""
    try:
        return small_config(model_type), True
    except StrictDataclassError:
        return cut_config(model_type), False


def _described(found: Genome, network: PreTrainedModel) -> dict[str, Any]:
    weights = sum(locus.rows * locus.cols for locus in found)
    return {
        "architecture": type(network).__name__,
        "loci": len(found),
        "kinds": " ".join(grouped(found.kinds)),
        "share": round(weights / found.layer_weights, 4),
    }


def _save(config: PreTrainedConfig, folder: Path) -> None:
    """Write random weights and a tokenizer beside a configuration."""
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for name, parameter in network.named_parameters():
        if parameter.ndim >= 2 and "A_log" not in name:
            torch.nn.init.normal_(parameter, std=_STD)
    network.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def _screen(model: Model, out: Path) -> dict[Mutant, str]:
    """Screen six mutants of loci spread over the genome, and return what each says."""
    loci = [*model.genome][:: max(1, len(model.genome) // 6)][:6]
    kinds = ("max", "min")
    mutants = []
    for place in range(6):
        locus = loci[place % len(loci)]
        rows, cols = Tiling(TILE).grid(locus)
        mutants.append(Mutant(locus.layer, locus.kind, place % rows, place % cols, kinds[place % 2]))
    screen = Screen(model, ASSAY, Design(mutants=tuple(mutants)), tile=TILE, engine="reference")
    screen.run(str(out), quiet=True)
    records = screen.results.texts()
    return {
        Mutant(row["layer"], row["kind"], row["row"], row["col"], row["mutation"]): row["text"]
        for row in records.iter_rows(named=True)
    }


def _made_by_hand(model: Model, mutant: Mutant) -> str | None:
    """Return what a mutant says, its weights found element by element."""
    locus = model.genome.locus(mutant.layer, mutant.kind)
    weight = model.network.get_parameter(locus.parameter)
    places = _places(locus, weight)
    values = weight.reshape(-1)[places]
    tile = places[mutant.row * TILE :, mutant.col * TILE :][:TILE, :TILE]
    kept = weight.clone()
    flat = weight.reshape(-1)
    flat[tile.flatten()] = values.max() if mutant.mutation == "max" else values.min()
    weight.copy_(flat.view(weight.shape))
    try:
        return decode(model, _wild(model))
    finally:
        weight.copy_(kept)


def _places(locus: Locus, weight: Tensor) -> Tensor:
    """Return where the elements of a locus lie in the memory of its parameter, [rows, cols]."""
    index, number = locus.expert or (0, 1)
    whole = torch.arange(weight.numel())[: weight.numel() // number] + index * (weight.numel() // number)
    grid = whole.view(-1, weight.shape[-1])
    grid = grid.T if locus.transposed else grid
    if not locus.block:
        return grid[: locus.rows]
    groups = [grid[start : start + locus.block] for start in range(locus.offset, len(grid), locus.period)]
    return torch.cat(groups)[: locus.rows]


def _wild(model: Model) -> list[int]:
    """Return prompt and continuation of the network as it is."""
    engine = ReferenceEngine(model, Tiling(TILE))
    resolved = ASSAY.resolve(model)
    tokens = torch.tensor([resolved.prompts[0].tokens])
    network: Any = model.network
    with torch.inference_mode(), engine.operations():
        return network.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=ASSAY.max_new_tokens,
        )[0].tolist()


def _why_not_fast(model: Model) -> str | None:
    """Return why the fast engine does not run the model, None where it does."""
    resolved = ASSAY.resolve(model)
    try:
        FastEngine(model, Tiling(TILE)).prepare(resolved.prompts, resolved.readout)
    except Unsupported as reason:
        return str(reason)
    return None


def sweep(types: list[str]) -> list[dict[str, Any]]:
    """Return the rows of some types."""
    rows = []
    for model_type in types:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows.append(examine(model_type, Path(folder)))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """Return the table of all types, in Markdown."""
    run = [row for row in rows if "refused" not in row]
    fast = sum(row["reference_alone"] is None for row in run)
    lines = [
        f"| `{row['type']}` | {row['loci']} | {row['kinds']} | {_percent(row['share'])} |"
        f" {(row['reference_alone'] or 'fast').partition(', and')[0]} |"
        for row in run
    ]
    refused = [f"| `{row['type']}` | {row['refused']} |" for row in rows if "refused" in row]
    return _PAGE.format(
        version=transformers.__version__,
        types=len(rows),
        run=len(run),
        fast=fast,
        refused=len(refused),
        rows="\n".join(lines),
        refusals="\n".join(refused),
    )


def _percent(share: float) -> str:
    """Return a share in percent, 100 only where nothing is left."""
    return "100 %" if share == 1 else f"{min(100 * share, 99.9):.1f} %"


_PAGE = """# Architectures

Every type of causal language model that transformers {version} has, {types} of them, made with two layers and random
weights, saved, loaded, and screened with six mutants; each mutant was made again by other code and said the same.
`python tests/model/sweep.py` writes this page, and `make test ARGS="-m slow tests/model/test_sweep.py"` checks it.

{run} have loci, and {fast} of these run on the fast engine. The others run on the reference engine alone, with the
operations of torch where their own are not known ([numerics](../numerics.md)). *Share* is the share of the weights of
the layers that are loci in this small network; `mutascope genome` tells that of a real one, and so does every screen.
`gate.e0-3` are the gates of four experts, `gate.shared` is that of the experts that every token goes through.

| type | loci | kinds | share | engine, or why the reference alone |
| --- | --- | --- | --- | --- |
{rows}

{refused} are refused, each in a sentence:

| type | why |
| --- | --- |
{refusals}
"""


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    found = sweep(sys.argv[1:] or [*TYPES])
    if not sys.argv[1:]:
        PAGE.write_text(page(found), encoding="utf-8")
