"""Calls of the fast engine against the reference engine, bit for bit: outputs, and the logits of every step.

    python -m benchmarks.bits [--assay drosophila] [--seed N] [--greedy] [--tile 8] [--mutants 100] [--outlier]
                              [--questions DIR] [--dtype float32] [--json FILE]

Mutants are drawn at random, half of them silent where there are enough. Their texts are then fed to the fast engine's
decoder, eight mutants at a time and seven positions a pass, and the logits compared with those that ``generate`` saw.
``--outlier`` writes a weight of 1e6 into every matrix's corner tile first, and takes mutants of it.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from benchmarks.saving import save
from torch import Tensor

from mutascope import Design, Tiling, load_assay, load_model
from mutascope.core.genome import Mutant
from mutascope.core.protocol import Generation
from mutascope.engine.decoder import Decoder
from mutascope.engine.edits import Edits, edit_of, written
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine

ROWS, STEPS = 8, 7


@torch.inference_mode()
def logits_of(
    engine: FastEngine, mutants: Sequence[Mutant], texts: Sequence[Sequence[int]], start: int
) -> list[Tensor]:
    """The decoder's logits after every token of texts from position ``start`` - 1 on, all mutants in one batch."""
    length = max(map(len, texts))
    decoder = Decoder(engine.model.network, length)
    edited = [(row, edit_of(engine.mutagen, decoder, mutant)) for row, mutant in enumerate(mutants)]
    edits = Edits(written(edited), strips=decoder.strips)
    cache = decoder.new_cache(len(mutants), length)
    fed = decoder.indices([[*text, *[0] * (length - len(text))] for text in texts])
    final = []
    for begin in range(0, length, STEPS):
        some = fed[:, begin : begin + STEPS]
        places = decoder.places(begin, begin + some.shape[1])
        hidden = decoder.embed(some, places)
        for layer in range(len(decoder.layers)):
            hidden = decoder.layer(layer, hidden, edits, cache[layer], places)
        final.append(decoder.final(hidden))
    states = torch.cat(final, dim=1)
    return [decoder.logits(row[start - 1 : len(text)]) for row, text in zip(states, texts, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--assay", default="drosophila")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--questions")
    parser.add_argument("--tile", type=int, default=8)
    parser.add_argument("--mutants", type=int, default=100)
    parser.add_argument("--outlier", action="store_true")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model, tiling = load_model(options.model, device="cpu", dtype=options.dtype), Tiling(options.tile)
    if options.outlier:
        for locus in model.genome:
            model.network.get_parameter(locus.parameter)[0, 0] = 1e6
    changes = {name: value for name in ("seed", "questions") if (value := getattr(options, name)) is not None}
    if options.greedy:
        changes |= {"greedy": True, "temperature": None}
    assay = load_assay(options.assay, **changes).resolve(model, ReferenceEngine(model, Tiling(1)).read_out)
    asked = (assay.prompts, assay.readout)
    engine = FastEngine(model, tiling)
    session = engine.prepare(*asked)
    sample = Design(sample=3 * options.mutants // 2)
    design = Design(rows=(0,), cols=(0,)) if options.outlier else sample
    mutants = design.plan(model.genome, tiling).mutants()
    outcomes = {outcome.mutant: outcome for outcome in session.run(mutants)}
    wild = session.wild_type
    silent = [mutant for mutant in mutants if outcomes[mutant].outputs == wild]
    loud = [mutant for mutant in mutants if outcomes[mutant].outputs != wild]
    draw = random.Random(0)
    quiet = draw.sample(silent, min(len(silent), options.mutants // 2))
    chosen = quiet + draw.sample(loud, min(len(loud), options.mutants - len(quiet)))
    equal = steps = same = 0
    for first in range(0, len(chosen), ROWS):
        some = chosen[first : first + ROWS]
        texts, truths = [], []
        for mutant in some:
            if not isinstance(assay.readout, Generation):
                (truth,) = engine.reference.prepare(*asked).run([mutant])
                equal += truth == outcomes[mutant]
                continue
            record: list[Tensor] = []
            with engine.mutagen.mutated(mutant):
                output = engine.reference.generate(assay.prompts[0], assay.readout, record)
            equal += output == outcomes[mutant].outputs[0]
            texts.append(
                (*assay.prompts[0].tokens, *output.tokens)[: len(assay.prompts[0].tokens) + len(record) - 1]
            )
            truths.append(torch.stack(record))
        if texts:
            for mine, truth in zip(
                logits_of(engine, some, texts, len(assay.prompts[0].tokens)), truths, strict=True
            ):
                alike = (mine == truth) | (mine.isnan() & truth.isnan())
                steps += len(truth)
                same += int(alike.all(-1).sum())
        print(f"{min(first + ROWS, len(chosen))}: {equal} equal, logits {same} of {steps} steps", flush=True)
    found = {
        **{"assay": options.assay, "seed": options.seed, "greedy": options.greedy, "tile": options.tile},
        **{"outlier": options.outlier, "dtype": options.dtype, "mutants": len(chosen), "silent": len(quiet)},
        **{"equal": equal, "steps": steps, "equal_logits": same},
    }
    print(found)
    save(options.json, found)


if __name__ == "__main__":
    main()
