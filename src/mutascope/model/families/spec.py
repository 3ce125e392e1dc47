"""What the networks of a family compute, as data: whoever reads a :class:`FamilySpec` names no architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

NormKind = Literal["rms", "rms+1", "layer"]


class HeadSizes(NamedTuple):
    """Query heads, heads of keys and values, and the features of a head."""

    n_heads: int
    n_kv_heads: int
    head_dim: int


@dataclass(frozen=True)
class View:
    """A module of a layer that holds matrices of several kinds, or of one.

    Attributes:
        module: its name in the layer.
        kinds: that it holds, in the order of its outputs.
        by_head: the outputs of a head stand together, those of all kinds; else those of a kind do.
    """

    module: str
    kinds: tuple[str, ...]
    by_head: bool = False


@dataclass(frozen=True)
class FamilySpec:
    """A network of a family: where its parts are, by name of module, and what they do.

    Attributes:
        views: modules of a layer whose weights are loci.
        norm: *rms*, the same with 1 added to its weights, or *layer*.
        norms: before attention and before the MLP.
        activation: of the MLP, as a config names it.
        scales: of the scores of attention, by layer.
        windows: positions that a token looks back at, itself included, by layer; None for all.
        softcap: of the scores, if any.
        head_norms: of queries and keys, head by head, if any.
        post_norms: behind attention and behind the MLP, before their outputs are added to the residual stream, if any.
        parallel: attention and MLP read the same residual stream; else the MLP reads what attention has added to.
        final_norm: in the body, which is the network without its output head.
        embedding_scale: name of the embedding's factor, if any.
        learned_positions: embedding of positions in the body, if any.
        rotary: rotary embedding in the body, of all features of a head or of its first ones, if any.
        rotary_types: of the layers, where their rotary embeddings differ.
        logit_softcap: of the logits, if any.
    """

    views: tuple[View, ...]
    norm: NormKind
    norms: tuple[str, str]
    activation: str
    scales: tuple[float, ...]
    windows: tuple[int | None, ...]
    softcap: float | None = None
    head_norms: tuple[str, str] | None = None
    post_norms: tuple[str, str] | None = None
    parallel: bool = False
    final_norm: str = "norm"
    embedding_scale: str | None = None
    learned_positions: str | None = None
    rotary: str | None = "rotary_emb"
    rotary_types: tuple[str, ...] | None = None
    logit_softcap: float | None = None

    @property
    def gated(self) -> bool:
        """Whether the MLP is act(gate) * up, and not act(up)."""
        return any("gate" in view.kinds for view in self.views)


def head_sizes(config: Any) -> HeadSizes:
    """Return the sizes that a config states, or those that follow from the others."""
    n_heads: int = config.num_attention_heads
    n_kv_heads = getattr(config, "num_key_value_heads", None) or n_heads
    return HeadSizes(n_heads, n_kv_heads, getattr(config, "head_dim", None) or config.hidden_size // n_heads)


def sliding_windows(config: Any) -> tuple[int | None, ...]:
    """Return the window of every layer where the config's types of layers tell which of them have one."""
    return tuple(
        config.sliding_window if kind == "sliding_attention" else None for kind in config.layer_types
    )
