"""What a term of second order, and one of two points, gain and cost: AUC of the risk on the calls of a screen.

    python benchmarks/curvature.py SCREEN [--calls 210]

The margins f(e) are those of a network whose mutated layer puts out wild type + e (mutant - wild type), so the layer's
own response is exact and the rest of the network is bent as it is. In float64, by differences: f'(0) and f''(0) from
e = -1/16 and 1/16, the two-point form from e = 0 and 1/2, and the margins of the mutant itself from e = 1.
"""

from __future__ import annotations

import argparse
import copy
import time

import numpy as np
import polars as pl
import torch
from torch import Tensor

from mutascope import Results
from mutascope.analysis.calibration import auc
from mutascope.cli.show import reopen
from mutascope.engine.decoder import Decoder
from mutascope.engine.deltas import Deltas, delta_of
from mutascope.engine.trace import Trace
from mutascope.genome import Mutant
from mutascope.mutations import Mutagen
from mutascope.predict.calls import make_calls
from mutascope.predict.predictor import Predictor

STEP = 1 / 16
POINTS = (-STEP, 0.0, STEP, 0.5, 1.0)
SITE = ["layer", "kind", "row", "col"]


class Bent:
    """The network above a mutated layer, for parts of a mutant's change."""

    def __init__(self, predictor: Predictor) -> None:
        network = copy.deepcopy(predictor.model.network).double()
        (prompt,), (wild,) = predictor.prompts, predictor.wild
        self.positions = len(prompt.tokens) + len(wild.tokens) - 1
        self.mutagen = Mutagen(network, predictor.model.genome, predictor.tiling)
        self.decoder = Decoder(network, self.positions)
        self.trace = Trace(self.decoder, prompt.tokens, wild.tokens)
        self.cache = self.decoder.new_cache(len(POINTS), self.positions)
        self.targets = predictor.targets

    def changes(self, mutant: Mutant) -> Tensor:
        """Return the changes of the margins at the points, [points, targets]."""
        decoder, layer, device = self.decoder, mutant.layer, self.decoder.device
        places, none = decoder.places(0, self.positions), Deltas([], device)
        delta = Deltas([(0, delta_of(self.mutagen, mutant))], device)
        wild, known = self.trace.hidden(layer + 1), self.trace.hidden(layer)[None]
        moved = decoder.layer(layer, known, delta, self.cache[layer], places)[0] - wild
        hidden = wild + torch.tensor(POINTS, dtype=wild.dtype)[:, None, None] * moved
        for index in range(layer + 1, len(decoder.layers)):
            hidden = decoder.layer(index, hidden, none, self.cache[index], places)
        margins = (decoder.final(hidden)[:, self.targets.places] * self.targets.seeds).sum(-1)
        return (margins - margins[POINTS.index(0)]).float()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("screen")
    parser.add_argument("--calls", type=int, default=210)
    options = parser.parse_args()
    results = Results(options.screen)
    screen, mutations = reopen(results), results.manifest["design"]["mutations"]
    records = results.records().sample(options.calls, seed=0).sort(*SITE, "mutation")
    predictor = Predictor(
        screen.model, screen.tiling, screen.resolved.prompts, screen.resolved.readout, mutations
    )
    wanted: dict[str, list[tuple[Mutant, bool]]] = {}
    for *coordinates, silent in records.select(*SITE, "mutation", "silent").iter_rows():
        mutant = Mutant(*coordinates)
        wanted.setdefault(mutant.locus_name, []).append((mutant, not silent))
    forms: dict[str, list[Tensor]] = {}
    hits, kinds, seconds = [], [], 0.0
    with torch.inference_mode():
        bent = Bent(predictor)
        for locus, changes in predictor.changes(wanted):
            for mutant, hit in wanted[locus.name]:
                start = time.perf_counter()
                before, _, after, half, whole = bent.changes(mutant)
                seconds += time.perf_counter() - start
                slope, curve = (after - before) / (2 * STEP), (after + before) / STEP**2
                shipped = changes[mutations.index(mutant.mutation), mutant.row, :, mutant.col]
                for name, form in {
                    "as predicted": shipped,
                    "layer's response exact, first order": slope,
                    "and second order": slope + curve / 2,
                    "two points": 2 * half,
                    "the mutant itself": whole,
                }.items():
                    forms.setdefault(name, []).append(form)
                hits.append(hit)
                kinds.append(mutant.kind)
    print(f"{len(hits)} mutants, {sum(hits)} NSMs; {1e3 * seconds / len(hits):.0f} ms a mutant", flush=True)
    for name, some in forms.items():
        calls = make_calls(torch.stack(some)[:, None, :, None], predictor.targets)
        risk, called = calls.risk.flatten().numpy(), calls.margin.flatten().numpy() < 0
        table = pl.DataFrame({"kind": kinds, "risk": risk, "hit": hits})
        by_kind = {
            kind: round(auc(part["risk"].to_numpy(), part["hit"].to_numpy()), 3)
            for (kind,), part in table.group_by("kind", maintain_order=True)
        }
        print(
            f"{name}: AUC {auc(risk, np.array(hits)):.4f}, {(called == hits).mean():.1%} of signs right; {by_kind}"
        )


if __name__ == "__main__":
    main()
