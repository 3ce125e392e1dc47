"""One token of a mutant on the network itself, as ``generate`` computes it, without what is known already.

``generate`` runs the network on the prompt, then on one token after the other, each time at batch size 1. A replay does
the same on the same modules, so that its logits are the same to the last bit, but for what it leaves out:

- the output head and the picking of tokens that are known;
- the layers below the mutation on texts that they have run on, call by call, at batch size 1: the wild type's, recorded
  when the reference engine generated it, and those of the latest replays. Mutants that say the same are often near a
  tie at the same token.

Before the first replay a no-op mutant is replayed; where its logits are not bit for bit the wild type's, and where a
pick is within the rounding of picking itself, ``generate`` settles instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mutascope.engine.decoder import Decoder
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.trace import common
from mutascope.genome import Mutant
from mutascope.readout import Generation, Prompt
from mutascope.sampling import Picker

_ROUNDING = 1e-5
"""Margin from which on two ways to pick from equal logits agree: logits / temperature and noise are below 100, and
rounded to 4e-6 there."""
_CHECKED = 12
"""Tokens of the no-op mutant."""
_RECENT = 8
"""Texts of the latest replays that are kept: some 20 MB each in the default model, for 150 tokens."""


@dataclass
class Recording:
    """What the layers of the unmodified network see on a text.

    Attributes:
        inputs: by layer and call, [1, tokens of the call, hidden]; deeper layers may have run on fewer calls.
        cache: keys and values of all layers but the deepest that has inputs.
        calls: token ids that the network was fed, call by call.
    """

    inputs: list[list[Tensor]] = field(default_factory=list)
    cache: Any = None
    calls: list[tuple[int, ...]] = field(default_factory=list)

    def upto(self, calls: int, cache: Any) -> Recording:
        """Return a copy of the first calls, with an empty ``cache`` to fill."""
        inputs = [some[:calls] for some in self.inputs]
        for index, some in enumerate(inputs[1:]):
            stop = sum(given.shape[1] for given in some)
            if stop:
                kept = self.cache.layers[index]
                cache.update(
                    kept.keys[:, :, :stop].contiguous(), kept.values[:, :, :stop].contiguous(), index
                )
        return Recording(inputs, cache, self.calls[:calls])


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
        if wild:
            tokens, _, recording = wild
            recording.calls = self._calls(tokens)[: len(recording.inputs[0])]
        self._recent: deque[Recording] = deque(maxlen=_RECENT)
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
        """Whether replaying the wild type, as if mutated in a layer, gives the logits that it was picked from.

        What is recorded along a few of its tokens must be equal, too.
        """
        if self.wild is None:
            return True
        tokens, logits, recording = self.wild
        count = min(_CHECKED, len(tokens) - 1)
        again = recording.upto(1, self._new_cache())
        with torch.inference_mode():
            self._extend(again, recording.calls[:count], mutant.layer)
        pairs = zip(again.inputs[mutant.layer], recording.inputs[mutant.layer], strict=False)
        return all(torch.equal(*pair) for pair in pairs) and torch.equal(
            self._logits(mutant.layer, tokens[:count]), logits[count]
        )

    def _calls(self, tokens: Sequence[int]) -> list[tuple[int, ...]]:
        """Return what the network is fed until it puts out the logits after ``tokens``."""
        return [self.prompt.tokens, *((token,) for token in tokens)]

    def _new_cache(self) -> Any:
        return DynamicCache(config=self.reference.model.network.config)

    @torch.inference_mode()
    def _logits(self, layer: int, tokens: Sequence[int]) -> Tensor:
        """Return the logits after ``tokens`` of the network as it is, mutated in ``layer`` or above, [vocabulary]."""
        body, network, cache, final = self.decoder.body, self.reference.model.network, self._new_cache(), None
        if self.wild is None:
            for call in self._calls(tokens):
                ids = torch.tensor([call], device=network.device)
                final = body(ids, past_key_values=cache, use_cache=True).last_hidden_state
        else:
            start = 0
            for given in self._inputs(layer, self._calls(tokens)):
                hidden, start = self._run(range(layer, len(self.decoder.layers)), given, start, cache)
                final = body.norm(hidden)
        assert final is not None
        logits: Tensor = network.lm_head(final[:, -1:])
        return logits[0, 0].float()  # as generate does

    def _inputs(self, layer: int, calls: Sequence[tuple[int, ...]]) -> list[Tensor]:
        """Return what a layer of the unmodified network is given on a text, call by call."""
        assert self.wild is not None
        wild = self.wild[2]
        known = max([wild, *self._recent], key=lambda recording: common(recording.calls, calls))
        shared = common(known.calls, calls)
        if len(known.inputs[layer]) < len(calls) or shared < len(calls):
            if known is wild or shared < len(known.calls):
                known = known.upto(shared, self._new_cache())
                self._recent.append(known)
            self._extend(known, calls, layer)
        return known.inputs[layer][: len(calls)]

    def _extend(self, recording: Recording, calls: Sequence[tuple[int, ...]], layer: int) -> None:
        """Run the layers below ``layer`` on what they have not yet seen of a text that goes on from a recording's."""
        device = self.reference.model.network.device
        for call in calls[len(recording.calls) :]:
            recording.calls.append(call)
            recording.inputs[0].append(self.decoder.body.embed_tokens(torch.tensor([call], device=device)))
        for index in range(layer):
            ran = recording.inputs[index + 1]
            start = sum(given.shape[1] for given in ran)
            for given in recording.inputs[index][len(ran) :]:
                hidden, start = self._run(range(index, index + 1), given, start, recording.cache)
                ran.append(hidden)

    def _run(self, layers: range, given: Tensor, start: int, cache: Any) -> tuple[Tensor, int]:
        """Run layers on the tokens of a call, the first at position ``start``; also return the position after it."""
        stop = start + given.shape[1]
        places = torch.arange(start, stop, device=given.device)[None]
        rotary = self.decoder.body.rotary_emb(given, places)
        for index in layers:
            given = self.decoder.layers[index](
                given,
                attention_mask=None,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                position_embeddings=rotary,
            )
        return given, stop
