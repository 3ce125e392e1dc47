"""One token of a mutant on the network itself, as ``generate`` computes it, without what is known already.

``generate`` runs the network on the prompt, then on one token after the other, each time at batch size 1. A replay does
the same on the same modules, so that its logits are the same to the last bit. But the tokens are known, so that each
layer runs on all of them before the next does (:mod:`mutascope.engine.alone`), and it leaves out:

- the output head and the picking of tokens that are known;
- the layers below the mutation on texts that they have run on: the wild type's, recorded when the reference engine
  generated it, and those of the latest replays. Mutants that say the same are often near a tie at the same token.

Before the first replay a no-op mutant is replayed; where its logits are not bit for bit the wild type's, and where a
pick is within the rounding of picking itself, ``generate`` settles instead. Where a sliding window forgets, the network
runs on one token after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mutascope.engine.alone import Alone
from mutascope.engine.decoder import Decoder
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.trace import common
from mutascope.genome import Mutant
from mutascope.readout import Generation, Prompt
from mutascope.sampling import Picker

_ROUNDING = 1e-5
"""Margin from which on two ways to pick from equal logits agree: logits / temperature and noise are below 100, and
rounded to 4e-6 there."""
_CHECKED = 32
"""Tokens of the no-op mutant."""
_RECENT = 8
"""Texts of the latest replays that are kept: some 20 MB each in the default model, for 150 tokens."""


@dataclass
class Recording:
    """What the layers of the unmodified network see on a text.

    Attributes:
        inputs: by layer, [1, positions, hidden]; deeper layers may have run on fewer positions.
        cache: keys and values of all layers but the deepest that has inputs.
        tokens: ids that the network was fed.
    """

    inputs: list[Tensor]
    cache: Any = None
    tokens: tuple[int, ...] = ()

    def upto(self, positions: int, cache: Any) -> Recording:
        """Return a copy of the first positions, with an empty ``cache`` to fill."""
        inputs = [some[:, :positions] for some in self.inputs]
        for index, some in enumerate(inputs[1:]):
            stop = some.shape[1]
            if stop:
                kept = self.cache.layers[index]
                cache.update(
                    kept.keys[:, :, :stop].contiguous(), kept.values[:, :, :stop].contiguous(), index
                )
        return Recording(inputs, cache, self.tokens[:positions])


@contextmanager
def recorded(layers: Sequence[Any]) -> Iterator[Recording]:
    """Record what layers are given in the block; the inputs are there after it."""
    recording = Recording([])
    given: list[list[Tensor]] = [[] for _ in layers]

    def listener(index: int) -> Any:
        def listen(_module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            given[index].append(arguments[0])
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
    recording.inputs = [torch.cat(calls, dim=1) for calls in given]


class Replay:
    """Settles picks of one prompt.

    Args:
        reference: engine that mutates, and that settles where a replay cannot.
        prompt: what the mutants are asked.
        readout: how they answer.
        picker: of the assay.
        decoder: knows the layers and their windows.
        wild: tokens of the wild type and their logits, [steps, vocabulary], and what was recorded with them; without,
            nothing is left out below the mutation, and nothing kept.
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
        self._forgets = min(decoder.windows) < positions
        self.wild = wild
        if wild:
            tokens, _, recording = wild
            recording.tokens = (*prompt.tokens, *tokens)[: recording.inputs[0].shape[1]]
        else:
            nothing = decoder.head.new_empty(1, 0, decoder.head.shape[1])
            recording = Recording([nothing] * len(decoder.layers))
        self._recorded = recording
        self._alone = Alone()
        self._recent: deque[Recording] = deque(maxlen=_RECENT if wild else 0)
        self._exact: bool | None = None

    def next_token(self, mutant: Mutant, tokens: Sequence[int]) -> int | None:
        """Return the token that a mutant generates after ``tokens``, None where its logits are NaN or inf."""
        if self._exact is None:
            self._exact = self._is_exact(mutant, tokens)
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

    def _is_exact(self, mutant: Mutant, tokens: Sequence[int]) -> bool:
        """Whether replaying the wild type, as if mutated in a layer, gives the logits that it was picked from.

        What is recorded along a few of its tokens must be equal, too. Where there is no wild type, or its text is
        short, some text, beginning with ``tokens``, is fed to the network one token after the other as well.
        """
        if self._forgets:
            return True
        if self.wild is None or len(self.wild[0]) <= _CHECKED:
            most = min(_CHECKED, self.readout.resolved["max_new_tokens"] - 1)
            some = tuple(islice(cycle((*tokens, *self.prompt.tokens)), most))
            if not torch.equal(self._logits(mutant.layer, some), self._logits_in_turn(some)):
                return False
        if self.wild is None:
            return True
        tokens, logits, recording = self.wild
        count = min(_CHECKED, len(tokens) - 1)
        text = (*self.prompt.tokens, *tokens[:count])
        again = recording.upto(len(self.prompt.tokens), self._new_cache())
        with torch.inference_mode():
            self._extend(again, text, mutant.layer)
        return torch.equal(
            again.inputs[mutant.layer], recording.inputs[mutant.layer][:, : len(text)]
        ) and torch.equal(self._logits(mutant.layer, tokens[:count]), logits[count])

    def _new_cache(self) -> Any:
        return DynamicCache(config=self.reference.model.network.config)

    @torch.inference_mode()
    def _logits(self, layer: int, tokens: Sequence[int]) -> Tensor:
        """Return the logits after ``tokens`` of the network as it is, mutated in ``layer`` or above, [vocabulary]."""
        if self._forgets:
            return self._logits_in_turn(tokens)
        given = self._inputs(layer, (*self.prompt.tokens, *tokens))
        hidden = self._run(range(layer, len(self.decoder.layers)), given, 0, self._new_cache())
        return self._head(self.decoder.body.norm(hidden[:, -1:] if tokens else hidden))

    @torch.inference_mode()
    def _logits_in_turn(self, tokens: Sequence[int]) -> Tensor:
        """Return the logits after ``tokens`` of the network as it is, fed one call after the other, [vocabulary]."""
        cache, final = self._new_cache(), self.decoder.head[:0]
        for call in [self.prompt.tokens, *((token,) for token in tokens)]:
            ids = torch.tensor([call], device=self.decoder.device)
            final = self.decoder.body(ids, past_key_values=cache, use_cache=True).last_hidden_state
        return self._head(final)

    def _head(self, final: Tensor) -> Tensor:
        """Return the logits of the last of final states [1, tokens, hidden], as ``generate`` does."""
        logits: Tensor = self.reference.model.network.lm_head(final[:, -1:])
        return logits[0, 0].float()

    def _inputs(self, layer: int, text: tuple[int, ...]) -> Tensor:
        """Return what a layer of the unmodified network is given on a text, [1, positions, hidden]."""
        known = max([self._recorded, *self._recent], key=lambda recording: common(recording.tokens, text))
        shared = common(known.tokens, text)
        if known.inputs[layer].shape[1] < len(text) or shared < len(text):
            if known is self._recorded or shared < len(known.tokens):
                known = known.upto(shared, self._new_cache())
                self._recent.append(known)
            self._extend(known, text, layer)
        return known.inputs[layer][:, : len(text)]

    def _extend(self, recording: Recording, text: tuple[int, ...], layer: int) -> None:
        """Run the layers below ``layer`` on what they have not yet seen of a text that goes on from a recording's."""
        inputs = recording.inputs
        fed = torch.tensor([text[len(recording.tokens) :]], dtype=torch.long, device=inputs[0].device)
        inputs[0] = torch.cat([inputs[0], self.decoder.body.embed_tokens(fed)], dim=1)
        recording.tokens = text
        for index in range(layer):
            start = inputs[index + 1].shape[1]
            if start < len(text):
                hidden = self._run([index], inputs[index][:, start:], start, recording.cache)
                inputs[index + 1] = torch.cat([inputs[index + 1], hidden], dim=1)

    def _run(self, layers: Iterable[int], given: Tensor, start: int, cache: Any) -> Tensor:
        """Run layers on tokens of which the first stands at ``start``: the prompt as one call, all others alone."""
        calls = []
        stops = sorted({start, max(start, len(self.prompt.tokens)), start + given.shape[1]})
        for begin, stop in pairwise(stops):
            places = torch.arange(begin, stop, device=given.device)[None]
            rotary = self.decoder.body.rotary_emb(given, places)
            calls.append((slice(begin - start, stop - start), places, rotary, begin > 0))
        for index in layers:
            out = []
            for tokens, places, rotary, alone in calls:
                with self._alone if alone else nullcontext():
                    hidden = self.decoder.layers[index](
                        given[:, tokens],
                        attention_mask=None,
                        position_ids=places,
                        past_key_values=cache,
                        use_cache=True,
                        position_embeddings=rotary,
                        is_causal=False if alone else None,
                    )
                out.append(hidden)
            given = torch.cat(out, dim=1)
        return given
