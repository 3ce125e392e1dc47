"""First-order changes of the margins for every architecture, by automatic differentiation, one layer at a time.

No gradient of a matrix is ever formed: of every map, the input and the gradient at the output are kept, and only of
one layer. The block's own response is linear here (:mod:`mutascope.predict.predictor` has the exact one, for some
families).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Locus
from mutascope.model.discovery import decoder_layers
from mutascope.model.matrices import module_of
from mutascope.predict.fills import Fill
from mutascope.predict.layout import Layout, Reach
from mutascope.predict.response import Tiles, linear_changes
from mutascope.predict.targets import Directions

Of = Callable[[Locus], tuple[Tiles, list[Fill]]]
"""Returns the tiles of a locus, and what is written over them."""


@dataclass(frozen=True)
class _Pass:
    """The wild type's forward pass over one text, cut where gradients are wanted.

    Attributes:
        calls: arguments of every layer.
        last: output of the last layer, a leaf.
        final: what the output head reads, a function of ``last``.
        read: the same as a leaf.
        logits: [positions, vocabulary], a function of ``read``.
    """

    calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
    last: Tensor
    final: Tensor
    read: Tensor
    logits: Tensor


class Chain:
    """The wild type's forward passes over some texts, and gradients through them.

    Args:
        network: any whose decoder layers are found (:func:`mutascope.model.discovery.find_genome`).
        texts: token ids, as they were fed.
    """

    def __init__(self, network: PreTrainedModel, texts: Sequence[Sequence[int]]) -> None:
        self.network = network
        self.layers = list(decoder_layers(network)[1])
        self.texts = [tuple(text) for text in texts]
        with torch.inference_mode(mode=False), torch.enable_grad():
            self._passes = [self._run(text) for text in self.texts]

    def pull(self, text: int, places: Tensor, direction: Tensor) -> Tensor:
        """Return the gradient at what the output head reads of one at the logits of some places, [places, hidden]."""
        done = self._passes[text]
        (grad,) = torch.autograd.grad(
            done.logits[places], done.read, direction.to(done.logits.dtype), retain_graph=True
        )
        return grad.view(-1, grad.shape[-1])[places]

    def changes(
        self, lowest: int, taken: Callable[[int], list[Locus]], targets: Directions, layout: Layout, of: Of
    ) -> Iterator[tuple[Locus, Tensor]]:
        """Yield the change of every margin by every mutant, [mutations, site rows, targets, site cols].

        Args:
            lowest: layer of the loci.
            taken: tells which loci of a layer are wanted, when it is reached.
            targets: what is differentiated, by place.
            layout: of the texts, which share nothing.
            of: tells of a locus what is written.
        """
        owners, places = layout.owners()[targets.places.cpu()], layout.places()[targets.places.cpu()]
        own = [(owners == text).nonzero()[:, 0] for text in range(len(self.texts))]
        reaches = [
            Reach(Layout.of([text]), places[mine].tolist())
            for text, mine in zip(self.texts, own, strict=True)
        ]
        grads = [self._begin(text, targets.seeds[mine], places[mine]) for text, mine in enumerate(own)]
        for index in reversed(range(lowest, len(self.layers))):
            here = taken(index)
            told = {locus: of(locus) for locus in here}
            parts: dict[Locus, list[Tensor]] = {locus: [] for locus in here}
            for text, reach in enumerate(reaches):
                grads[text], maps = self._through(index, text, grads[text], here)
                for locus, (x, grad) in maps.items():
                    tiles, fills = told[locus]
                    parts[locus].append(linear_changes(tiles, x, grad, fills, reach))
            for locus, some in parts.items():
                yield locus, torch.cat(some, dim=2)

    def logits(self, text: int, places: Tensor) -> Tensor:
        """Return the logits of some places of a text, float32 [places, vocabulary]."""
        return self._passes[text].logits[places].detach().float()

    def gradients(
        self, text: int, places: Tensor, direction: Tensor, loci: Sequence[Locus]
    ) -> Iterator[tuple[Locus, Tensor, Tensor]]:
        """Yield of every locus the input of its map [positions, cols] and the gradient at its output [positions, rows].

        Args:
            text: number of the text.
            places: positions of the logits of one function of them, int64 [n].
            direction: its gradient at these, [n, vocabulary].
            loci: from whichever layers.
        """
        done = self._passes[text]
        (read,) = torch.autograd.grad(
            done.logits[places], done.read, direction.to(done.logits.dtype), retain_graph=True
        )
        grads = list(torch.autograd.grad(done.final, done.last, read, retain_graph=True))
        for index in reversed(range(min(locus.layer for locus in loci), len(self.layers))):
            here = [locus for locus in loci if locus.layer == index]
            grads, maps = self._through(index, text, grads, here)
            for locus, (x, (grad,)) in maps.items():
                yield locus, x, grad

    def _run(self, tokens: Sequence[int]) -> _Pass:
        """Run the network on a text."""
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        leaves: list[Tensor] = []
        finals: list[Tensor] = []

        def note(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls.append((args, kwargs))

        def cut(_module: nn.Module, _args: Any, output: Any) -> Any:
            leaves.append(_hidden(output).detach().requires_grad_())
            return (leaves[0], *output[1:]) if isinstance(output, tuple) else leaves[0]

        def read(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            finals.append(args[0])
            leaves.append(args[0].detach().requires_grad_())
            return (leaves[1], *args[1:])

        head: Any = self.network.get_output_embeddings()
        hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in self.layers]
        hooks += [self.layers[-1].register_forward_hook(cut), head.register_forward_pre_hook(read)]
        try:
            fed = torch.tensor([tokens], device=self.network.device)
            network: Any = self.network
            logits = network(fed, use_cache=False).logits[0]
        finally:
            for hook in hooks:
                hook.remove()
        return _Pass(calls, leaves[0], finals[0], leaves[1], logits)

    def _begin(self, text: int, seeds: Tensor, places: Tensor) -> list[Tensor]:
        """Return the gradient of every target at the output of the last layer."""
        done = self._passes[text]
        final = done.final.view(-1, done.final.shape[-1])
        return [
            torch.autograd.grad(final[place], done.last, seed.to(final.dtype), retain_graph=True)[0]
            for seed, place in zip(seeds, places, strict=True)
        ]

    def _through(
        self, index: int, text: int, grads: list[Tensor], loci: Sequence[Locus]
    ) -> tuple[list[Tensor], dict[Locus, tuple[Tensor, Tensor]]]:
        """Pull the gradients of all targets back through a layer.

        Returns:
            The gradients at the input of the layer, and of every locus the input of its map [positions, cols] and the
            gradients at its output [targets, positions, rows].
        """
        args, kwargs = self._passes[text].calls[index]
        args, kwargs = list(args), dict(kwargs)
        seen: dict[str, tuple[Tensor, Tensor]] = {}
        modules = {locus.parameter: module_of(self.network, locus) for locus in loci}

        def keep(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
            def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
                seen[name] = (inputs[0].detach(), output)

            return hook

        hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
        try:
            with torch.inference_mode(mode=False), torch.enable_grad():
                leaf = (args[0] if args else kwargs["hidden_states"]).detach().requires_grad_()
                if args:
                    args[0] = leaf
                else:
                    kwargs["hidden_states"] = leaf
                out = _hidden(self.layers[index](*args, **kwargs))
                ends = [leaf, *(output for _, output in seen.values())]
                pulled = [torch.autograd.grad(out, ends, grad, retain_graph=True) for grad in grads]
        finally:
            for hook in hooks:
                hook.remove()
        outputs = {
            name: torch.stack([_flat(some[1 + at]) for some in pulled]) for at, name in enumerate(seen)
        }
        maps = {}
        for locus in loci:
            x, _ = seen[locus.parameter]
            features = locus.features(0, locus.rows)
            maps[locus] = (_flat(x), outputs[locus.parameter][:, :, features])
        return [some[0] for some in pulled], maps


def check_predictable(network: PreTrainedModel, loci: Sequence[Locus]) -> None:
    """Raise MutascopeError for a locus that is not the matrix of a linear module: an expert sees some tokens alone."""
    for locus in loci:
        if locus.expert or not isinstance(module_of(network, locus), nn.Linear | Conv1D):
            raise MutascopeError(
                f"mutants of {locus.name} cannot be predicted, as it is part of a mixture of experts: choose other"
                " kinds with --kinds, or screen it"
            )


def _hidden(output: Any) -> Tensor:
    """Return the hidden states among what a layer puts out."""
    return output[0] if isinstance(output, tuple) else output


def _flat(x: Tensor) -> Tensor:
    """Return [positions, features] in float32."""
    return x.reshape(-1, x.shape[-1]).float()
