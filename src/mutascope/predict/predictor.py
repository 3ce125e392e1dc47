"""Predicted calls of every mutant of a model on one prompt (docs/predict.md says why it works).

One pass of gradients goes down through the layers, for all targets at once. At every map it meets, the mutants of the
locus are summed up: v, o, up and down from the gradient at the map's output, gate, q and k from the gradient behind
what follows them, with their own response taken exactly. Everything further down the network is linear.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain

from torch import Tensor
from torch.nn import functional as F

from mutascope.engine.reference import ReferenceEngine
from mutascope.errors import MutascopeError
from mutascope.genome import Locus, Tiling
from mutascope.models import Model
from mutascope.mutations import Mutagen
from mutascope.predict.attention import attention_changes
from mutascope.predict.calls import Calls, make_calls
from mutascope.predict.fills import Fill, fills_of
from mutascope.predict.pullback import Pullback
from mutascope.predict.response import Tiles, gated, linear_changes, response_changes
from mutascope.predict.tape import Layer, Tape
from mutascope.predict.targets import arrivals, make_targets
from mutascope.readout import Generation, Output, Prompt
from mutascope.sampling import Picker, unsupported_fields


class Predictor:
    """Predicts the mutants of a model on one prompt.

    Args:
        model: Llama, Mistral, Qwen2 or Qwen3, in any floating dtype.
        tiling: of the sites.
        prompt: what the mutants are asked.
        readout: how they answer.
        mutations: names of fills (:mod:`mutascope.predict.fills`).
        rivals: targets per generated token, on average.

    Raises:
        MutascopeError: for an architecture, a sampling field or a mutation that it does not implement, and for a wild
            type that is not finite.
    """

    def __init__(
        self,
        model: Model,
        tiling: Tiling,
        prompt: Prompt,
        readout: Generation,
        mutations: Sequence[str],
        rivals: int = 1,
    ) -> None:
        fills_of(mutations, 0, 0)
        fields = unsupported_fields(readout.resolved)
        if fields:
            raise MutascopeError(f"mutants cannot be predicted with {', '.join(fields)}: leave it out")
        self.model, self.tiling, self.mutations = model, tiling, tuple(mutations)
        self.prompt, self.readout = prompt, readout
        self.mutagen = Mutagen(model.network, model.genome, tiling)
        wild, logits = ReferenceEngine(model, tiling).wild_type_logits(prompt, readout)
        if not wild.finite:
            raise MutascopeError(f"{model.name} itself puts out NaN or inf: nothing to compare")
        self.wild: Output = wild
        self.tape_tokens = [*prompt.tokens, *wild.tokens[:-1]]
        self.tape = Tape(model.network, self.tape_tokens)
        head = self.tape.decoder.head.detach()
        self.picker = Picker(readout.resolved, readout.seed, head.shape[0], head.device)
        self.targets = make_targets(self.picker, logits, head, len(prompt.tokens), rivals)
        self._arrivals = arrivals(self.targets.places.tolist(), self.tape.positions)

    def calls(self, wanted: Collection[str] | None = None) -> Iterator[tuple[Locus, Calls]]:
        """Yield what is predicted of the mutants of every locus, from the last layer to the first.

        Args:
            wanted: names of loci; all by default.
        """
        for locus, changes in self.changes(wanted):
            yield locus, make_calls(changes, self.targets)

    def changes(self, wanted: Collection[str] | None = None) -> Iterator[tuple[Locus, Tensor]]:
        """Yield the change of every margin by every mutant, float32 [mutations, site rows, targets, site cols]."""
        loci = {
            (locus.layer, locus.kind): locus
            for locus in self.model.genome
            if wanted is None or locus.name in wanted
        }
        lowest = min((layer for layer, _ in loci), default=len(self.tape))
        back = Pullback(self.tape, self.targets)
        for index in reversed(range(lowest, len(self.tape))):
            layer = self.tape.layer(index)
            here = {kind: locus for (at, kind), locus in loci.items() if at == index}
            for kind, changes in chain(self._mlp(back, layer, here), self._attention(back, layer, here)):
                yield here[kind], changes

    def _mlp(self, back: Pullback, layer: Layer, loci: dict[str, Locus]) -> Iterator[tuple[str, Tensor]]:
        x = layer.second.y
        yield from self._linear("down", loci, layer.inner, back.grad)
        inner = back.through(layer.block.mlp.down_proj, layer.inner.shape[1])
        back.past_mlp(layer, inner)
        if "gate" in loci:
            tiles, fills = self._tiles(loci["gate"])
            respond = gated(layer.gate, layer.up)
            yield "gate", response_changes(tiles, x, inner, fills, self._arrivals, respond)
        yield from self._linear("up", loci, x, inner.mul_(F.silu(layer.gate)))

    def _attention(
        self, back: Pullback, layer: Layer, loci: dict[str, Locus]
    ) -> Iterator[tuple[str, Tensor]]:
        yield from self._linear("o", loci, layer.mixed, back.grad)
        mixed = back.through(layer.block.self_attn.o_proj, layer.mixed.shape[1])
        yield from self._linear("v", loci, layer.first.y, back.past_attention(layer, mixed))
        for kind in ("k", "q"):
            if kind in loci:
                tiles, fills = self._tiles(loci[kind])
                yield (
                    kind,
                    attention_changes(self.tape, layer, kind, tiles, mixed, fills, self._arrivals),
                )

    def _linear(
        self, kind: str, loci: dict[str, Locus], x: Tensor, grad: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        if kind in loci:
            tiles, fills = self._tiles(loci[kind])
            yield kind, linear_changes(tiles, x, grad, fills, self._arrivals)

    def _tiles(self, locus: Locus) -> tuple[Tiles, list[Fill]]:
        matrix = self.mutagen.matrix(locus)
        fills = fills_of(self.mutations, float(matrix.max()), float(matrix.min()))
        return Tiles(matrix, self.tiling.tile), fills
