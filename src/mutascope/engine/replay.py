"""One token of a mutant on the network itself, as ``generate`` computes it, without what is known already.

``generate`` runs the network on the prompt, then on one token after the other, each time at batch size 1. A replay does
the same on the same modules, so that its logits are the same to the last bit, but for what it leaves out:

- the output head and the picking of tokens that are known;
- the layers below the mutation, as long as the text is the wild type's: what they put out was recorded when the
  reference engine generated the wild type.

Before the first replay a no-op mutant is replayed; where its logits are not bit for bit the wild type's, and where a
pick is within the rounding of picking itself, ``generate`` settles instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mutascope.engine.decoder import Decoder
from mutascope.engine.reference import ReferenceEngine
from mutascope.genome import Mutant
from mutascope.readout import Generation, Prompt
from mutascope.sampling import Picker

_ROUNDING = 1e-5
"""Margin from which on two ways to pick from equal logits agree: logits / temperature and noise are below 100, and
rounded to 4e-6 there."""
_CHECKED = 12
"""Tokens of the no-op mutant."""


@dataclass
class Recording:
    """What the layers of a network see while the wild type is generated.

    Attributes:
        inputs: by layer and call, [1, tokens of the call, hidden].
        cache: keys and values of all layers.
    """

    inputs: list[list[Tensor]] = field(default_factory=list)
    cache: Any = None


@contextmanager
def recorded(layers: Sequence[Any]) -> Iterator[Recording]:
    """Record what layers are given in the block."""
    recording = Recording([[] for _ in layers])

    def listener(index: int) -> Any:
        def listen(_module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            recording.inputs[index].append(arguments[0])
            recording.cache = keywords.get("past_key_values")

        return listen

    handles = [
        layer.register_forward_pre_hook(listener(index), with_kwargs=True)
        for index, layer in enumerate(layers)
    ]
    try:
        yield recording
    finally:
        for handle in handles:
            handle.remove()


class Replay:
    """Settles picks of one prompt.

    Args:
        reference: engine that mutates, and that settles where a replay cannot.
        prompt: what the mutants are asked.
        readout: how they answer.
        picker: of the assay.
        decoder: knows the layers and their windows.
        wild: tokens of the wild type and their logits, [steps, vocabulary], and what was recorded with them; without,
            nothing is left out below the mutation.
    """

    def __init__(
        self,
        reference: ReferenceEngine,
        prompt: Prompt,
        readout: Generation,
        picker: Picker,
        decoder: Decoder,
        wild: tuple[Sequence[int], Tensor, Recording] | None = None,
    ) -> None:
        self.reference, self.prompt, self.readout, self.picker = reference, prompt, readout, picker
        self.decoder = decoder
        positions = len(prompt.tokens) + readout.resolved["max_new_tokens"]
        if min(decoder.windows) < positions:  # a sliding cache forgets the wild type's first keys and values
            wild = None
        self.wild = wild
        self._exact: bool | None = None

    def next_token(self, mutant: Mutant, tokens: Sequence[int]) -> int | None:
        """Return the token that a mutant generates after ``tokens``, None where its logits are NaN or inf."""
        if self._exact is None:
            self._exact = self._is_exact(mutant)
        if self._exact:
            with self.reference.mutagen.mutated(mutant):
                logits = self._logits(mutant.layer, tokens)
            step = torch.tensor([len(tokens)], device=logits.device)
            picks = self.picker.pick(logits[None], step)
            if not picks.finite:
                return None
            if float(picks.margins) >= _ROUNDING:
                return int(picks.tokens)
        return self.reference.next_token(self.prompt, self.readout, mutant, tokens)

    def _is_exact(self, mutant: Mutant) -> bool:
        """Whether replaying the wild type, as if mutated in a layer, gives the logits that it was picked from."""
        if self.wild is None:
            return True
        tokens, logits, _ = self.wild
        count = min(_CHECKED, len(tokens) - 1)
        return torch.equal(self._logits(mutant.layer, tokens[:count]), logits[count])

    @torch.inference_mode()
    def _logits(self, layer: int, tokens: Sequence[int]) -> Tensor:
        """Return the logits after ``tokens`` of the network as it is, mutated in ``layer`` or above, [vocabulary]."""
        body, network = self.decoder.body, self.reference.model.network
        cache, known, final = DynamicCache(config=network.config), 0, None
        fed = [self.prompt.tokens, *((token,) for token in tokens)]
        if self.wild is not None:
            known, final = self._along_wild_type(layer, tokens, cache)
        for call in fed[known:]:
            ids = torch.tensor([call], device=network.device)
            final = body(ids, past_key_values=cache, use_cache=True).last_hidden_state
        assert final is not None
        logits: Tensor = network.lm_head(final[:, -1:])
        return logits[0, 0].float()  # as generate does

    def _along_wild_type(self, layer: int, tokens: Sequence[int], cache: Any) -> tuple[int, Tensor]:
        """Run the calls in which the text is the wild type's; return their number and the last final states.

        Below ``layer`` the cache is filled with the wild type's keys and values.
        """
        assert self.wild is not None
        wild, _, recording = self.wild
        calls = 1
        while (
            calls <= len(tokens) and calls < len(recording.inputs[0]) and tokens[calls - 1] == wild[calls - 1]
        ):
            calls += 1
        stop = len(self.prompt.tokens) + calls - 1
        for index in range(layer):
            kept = recording.cache.layers[index]
            cache.update(kept.keys[:, :, :stop].contiguous(), kept.values[:, :, :stop].contiguous(), index)
        body, start, hidden = self.decoder.body, 0, recording.inputs[layer][0]
        for given in recording.inputs[layer][:calls]:
            hidden, end = given, start + given.shape[1]
            places = torch.arange(start, end, device=hidden.device)[None]
            rotary = body.rotary_emb(hidden, places)
            for block in self.decoder.layers[layer:]:
                hidden = block(
                    hidden,
                    attention_mask=None,
                    position_ids=places,
                    past_key_values=cache,
                    use_cache=True,
                    position_embeddings=rotary,
                )
            start = end
        return calls, body.norm(hidden)
