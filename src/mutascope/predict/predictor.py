"""Predicted calls of every mutant of a model in an assay (docs/reference/predictions.md says why it works).

One pass of gradients goes down through the layers, for all targets at once. At every map it meets, the mutants of the
locus are summed up: v, o, up and down from the gradient at the map's output, gate, q and k from the gradient behind
what follows them, with their own response taken exactly. Everything further down the network is linear. For
architectures whose blocks are not written out here, all is linear (:mod:`mutascope.predict.autograd`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from mutascope.core.errors import MutascopeError, Unsupported
from mutascope.core.genome import Locus, Tiling
from mutascope.core.protocol import NextToken, Prompt, Readout
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.generation import unsupported_fields
from mutascope.model.loading import Model
from mutascope.numerics.sampling import Sampler
from mutascope.predict.attention import attention_changes
from mutascope.predict.autograd import Chain
from mutascope.predict.calls import Calls, make_calls
from mutascope.predict.fills import Fill, fills_of
from mutascope.predict.layout import Layout, Reach
from mutascope.predict.pullback import Pullback
from mutascope.predict.response import Tiles, gated, linear_changes, response_changes
from mutascope.predict.tape import Layer, Tape
from mutascope.predict.targets import make_targets

_SCORES = 2**16
"""Pairs of a query and a key per layer and head whose attention is computed for every mutant of q and k."""

_RIVALS = 1.5
"""Targets per generated token: with one, a second rival nearly as near is not seen (docs/reference/predictions.md)."""

_FAR = 1e3
"""In logits: a token that no mutant picks."""


class Predictor:
    """Predicts the mutants of a model in an assay.

    Attributes:
        wild: outputs of the wild type, one per prompt.
        layout: of the texts.
        targets: what is differentiated.

    Args:
        model: in any floating dtype.
        tiling: of the sites.
        prompts: what the mutants are asked; a generated text has one.
        readout: how they answer.
        mutations: names of fills (:mod:`mutascope.predict.fills`).
        rivals: targets per generated token, on average; by default 1.5, and of an answer every other letter.
        reference: of this model and tiling, where there is one already.
        site_rows: by name of a locus, the rows of sites that are predicted, ascending; by default all of all loci. What
            is returned has these rows alone.

    Raises:
        MutascopeError: for a sampling field or a mutation that it does not implement, and for a wild type that is not
            finite.
    """

    def __init__(
        self,
        model: Model,
        tiling: Tiling,
        prompts: Sequence[Prompt],
        readout: Readout,
        mutations: Sequence[str],
        rivals: float | None = None,
        reference: ReferenceEngine | None = None,
        site_rows: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        fills_of(mutations, 0, 0)
        fields = unsupported_fields(readout.resolved)
        if fields:
            raise MutascopeError(f"mutants cannot be predicted with {', '.join(fields)}: leave it out")
        self.model, self.tiling, self.mutations = model, tiling, tuple(mutations)
        self.prompts, self.readout = tuple(prompts), readout
        self.site_rows = site_rows
        reference = reference or ReferenceEngine(model, tiling)
        self.mutagen = reference.mutagen
        known = [reference.wild_type_logits(prompt, readout) for prompt in prompts]
        self.wild = tuple(output for output, _ in known)
        if not all(output.finite for output in self.wild):
            raise MutascopeError(f"{model.name} itself puts out NaN or inf: nothing to compare")
        texts = [(*p.tokens, *output.tokens[:-1]) for p, output in zip(prompts, self.wild, strict=True)]
        self.layout = Layout.of(texts)
        try:
            self.tape, self._chain = Tape(model.network, self.layout), None
        except Unsupported:
            self.layout = Layout.of(texts, share=False)
            self.tape, self._chain = None, Chain(model.network, texts)
        vocabulary = known[0][1].shape[-1]
        self.sampler = Sampler(readout.resolved, readout.seed, vocabulary, model.network.device)
        logits, steps, places = self._picks([some for _, some in known])
        if rivals is None:
            rivals = max(1, len(readout.choices) - 1) if isinstance(readout, NextToken) else _RIVALS
        self.targets = make_targets(self.sampler, logits, steps, places, self._pull, rivals)
        self._reach = Reach(self.layout, self.targets.directions.places.tolist())

    def calls(
        self, wanted: Collection[str] | None = None, take: Callable[[Locus], bool] = lambda locus: True
    ) -> Iterator[tuple[Locus, Calls]]:
        """Yield what is predicted of the mutants of every locus, from the last layer to the first.

        Args:
            wanted: names of loci; all by default.
            take: is asked when the layer of a locus is reached, and may leave it out.
        """
        for locus, changes in self.changes(wanted, take):
            yield locus, make_calls(changes, self.targets)

    def changes(
        self, wanted: Collection[str] | None = None, take: Callable[[Locus], bool] = lambda locus: True
    ) -> Iterator[tuple[Locus, Tensor]]:
        """Yield the change of every margin by every mutant, float32 [mutations, site rows, targets, site cols]."""
        for locus, moved in self.moved(wanted, take):
            yield locus, self.targets.changes(moved)

    def moved(
        self, wanted: Collection[str] | None = None, take: Callable[[Locus], bool] = lambda locus: True
    ) -> Iterator[tuple[Locus, Tensor]]:
        """Yield how every mutant moves along the directions, float32 [mutations, site rows, directions, site cols].

        Args:
            wanted, take: as of :meth:`calls`.
        """
        loci = [locus for locus in self.model.genome if wanted is None or locus.name in wanted]
        lowest = min((locus.layer for locus in loci), default=None)
        if lowest is None:
            return

        def taken(layer: int) -> list[Locus]:
            return [locus for locus in loci if locus.layer == layer and take(locus)]

        if self._chain is not None:
            yield from self._chain.changes(lowest, taken, self.targets.directions, self.layout, self._tiles)
        if self.tape is not None:
            yield from self._through(self.tape, lowest, taken)

    def _pull(self, direction: Tensor, places: Tensor) -> Tensor:
        """Return the gradient at what the output head reads of one at the logits of the places, [places, hidden]."""
        if self._chain is None:
            assert self.tape is not None
            head = self.tape.parts.head.detach()
            return direction.to(head.dtype) @ head
        own, at = self.layout.owners()[places.cpu()], self.layout.places()[places.cpu()]
        pulled = [
            self._chain.pull(text, at[own == text], direction[own == text])
            for text in range(len(self.prompts))
        ]
        return torch.cat(pulled)

    def _through(
        self, tape: Tape, lowest: int, taken: Callable[[int], list[Locus]]
    ) -> Iterator[tuple[Locus, Tensor]]:
        back = Pullback(tape, self.targets.directions, self._reach)
        for index in reversed(range(lowest, len(tape))):
            layer = tape.layer(index)
            here = {locus.kind: locus for locus in taken(index)}
            for kind, changes in chain(self._mlp(back, layer, here), self._attention(back, layer, here)):
                yield here[kind], changes

    def _mlp(self, back: Pullback, layer: Layer, loci: dict[str, Locus]) -> Iterator[tuple[str, Tensor]]:
        x = layer.second.y
        yield from self._linear("down", loci, layer.inner, back.grad)
        inner = back.through(layer.matrices["down"])
        back.past_mlp(layer, inner)
        if "gate" in loci:
            tiles, fills = self._tiles(loci["gate"])
            respond = gated(layer.gate, layer.up)
            yield "gate", response_changes(tiles, x, inner, fills, self._reach, respond)
        yield from self._linear("up", loci, x, inner.mul_(F.silu(layer.gate)))

    def _attention(
        self, back: Pullback, layer: Layer, loci: dict[str, Locus]
    ) -> Iterator[tuple[str, Tensor]]:
        yield from self._linear("o", loci, layer.mixed, back.grad)
        mixed = back.through(layer.matrices["o"])
        apart = self._apart(mixed)
        grads, asking = back.past_attention(layer, mixed, apart), apart.nonzero()[:, 0].cpu()
        yield from self._linear("v", loci, layer.first.y, grads.pop("v"))
        for kind in ("k", "q"):
            if kind in loci:
                tiles, fills = self._tiles(loci[kind])
                changes = attention_changes(back.tape, layer, kind, tiles, mixed, fills, self._reach, asking)
                if kind in grads:
                    changes += linear_changes(tiles, layer.first.y, grads[kind], fills, self._reach)
                yield kind, changes

    def _apart(self, mixed: Tensor) -> Tensor:
        """Return the queries whose own response is computed exactly, bool [positions]: those that matter most.

        Args:
            mixed: gradients at the input of o, [targets, positions, H w].
        """
        keys = self.layout.places().to(mixed.device) + 1
        order = mixed.square().sum((0, 2)).argsort(descending=True)
        apart = torch.zeros(len(keys), dtype=torch.bool, device=mixed.device)
        apart[order] = keys[order].cumsum(0) <= _SCORES
        return apart

    def _picks(self, logits: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, step and position of every pick of the wild type.

        An answer does not change when another token is picked that reads as the same letter: these have no logit.
        """
        steps, places, found = [], [], []
        for text, (prompt, output, rows) in enumerate(zip(self.prompts, self.wild, logits, strict=True)):
            first = self.layout.position(text, len(prompt.tokens) - 1)
            steps += range(len(rows))
            places += range(first, first + len(rows))
            if isinstance(self.readout, NextToken):
                same = [ids for ids in self.readout.choices.values() if output.tokens[0] in ids]
                rows = rows.clone()
                rows[:, [token for ids in same for token in ids if token != output.tokens[0]]] -= _FAR
            found.append(rows)
        device = found[0].device
        return torch.cat(found), torch.tensor(steps, device=device), torch.tensor(places, device=device)

    def _linear(
        self, kind: str, loci: dict[str, Locus], x: Tensor, grad: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        if kind in loci:
            tiles, fills = self._tiles(loci[kind])
            yield kind, linear_changes(tiles, x, grad, fills, self._reach)

    def _tiles(self, locus: Locus) -> tuple[Tiles, list[Fill]]:
        matrix = self.mutagen.matrix(locus)
        largest, smallest = self.mutagen.extremes(locus)
        fills = fills_of(self.mutations, float(largest), float(smallest))
        only = None if self.site_rows is None else tuple(self.site_rows[locus.name])
        return Tiles(matrix, self.tiling.tile, only), fills
