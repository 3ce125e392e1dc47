"""The operations of ``fma32-1`` on a CPU (docs/numerics.md is their specification).

Every element of a result is a fixed sequence of roundings of its own row's inputs: it does not depend on what else
is in the batch, on threads, or on the processor. Tensors are float32; with ``half`` every result is rounded to
bfloat16, as torch rounds it, and kept in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import CDLL, c_double, c_float, c_int, c_long, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mutascope.numerics.build import find_library

SUMS = 16
"""Partial sums of what is added up along a row; caches of keys and values are padded to multiples of it."""
ACTIVATIONS = {"silu": 1, "gelu": 2, "gelu_tanh": 3}
ACTIVATION_NAMES = {
    **{"silu": "silu", "swish": "silu", "gelu": "gelu"},
    **{"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"},
}
"""The activations that :func:`linear` applies, by their names in a network's config."""

_P, _L, _F, _I = c_void_p, c_long, c_float, c_int


@dataclass(frozen=True)
class Packed:
    """A weight, or a gate and the weight that it gates, in the order in which :func:`linear` reads it.

    Attributes:
        panels: the packed copy.
        biases: of the weight, or of both; None where there is none.
        outs: output features.
        ins: input features.
        paired: whether there are two weights; the result is then act(x @ first) * (x @ second).
    """

    panels: Tensor
    biases: tuple[Tensor | None, Tensor | None]
    outs: int
    ins: int
    paired: bool = False


class Strips:
    """Rows whose mutant writes a tile of the weight: the tile's outputs are computed with weights of their own.

    Args:
        members: row of the batch, first output feature, and the edited weights of the tile's outputs, packed.
    """

    def __init__(self, members: Sequence[tuple[int, int, Packed]]) -> None:
        self.panels = [packed.panels for _, _, packed in members]
        table = [(row, top, packed.outs, packed.panels.data_ptr()) for row, top, packed in members]
        self.table = torch.tensor(table, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.panels)


@cache
def library() -> _Library:
    """Return the kernels, which are compiled if need be.

    Raises:
        MutascopeError: where that fails.
    """
    return _Library(CDLL(str(find_library())))


class _Library:
    """The functions of kernels.c."""

    def __init__(self, compiled: CDLL) -> None:
        self.pack = _function(compiled, "pack", 3 * [_P] + 2 * [_L])
        self.linear = _function(compiled, "linear", 6 * [_P] + 4 * [_L] + 3 * [_I] + [_P] + 2 * [_L])
        self.norm = _function(compiled, "norm", 4 * [_P] + 5 * [_L] + [_F] + 3 * [_I])
        self.activate = _function(compiled, "activate", 2 * [_P] + [_L] + 2 * [_I])
        self.attend = _function(compiled, "attend", 9 * [_P] + 11 * [_L] + 2 * [_F] + [_I])
        self.pick = _function(compiled, "pick", 7 * [_P] + 4 * [_L] + 2 * [_F] + [c_double])
        self.shortlist = _alone(compiled, "shortlist", 7 * [_P] + 6 * [_L] + 2 * [_F])
        self.weigh_logits = _function(compiled, "weigh_logits", 2 * [_P] + [_F] + 3 * [_P] + 2 * [_L])
        self.hyperbolic = _alone(compiled, "hyperbolic", 2 * [_P] + [_L])
        self.circle = _alone(compiled, "circle", 3 * [_P] + [_L])
        self.power = _alone(compiled, "power", [c_double] + 2 * [_P] + [_L])
        self.gumbel = _alone(compiled, "gumbel", 2 * [_P] + [_L])
        self.logarithms = _alone(compiled, "logarithms", 2 * [_P] + [_L])
        self.exponentials = _alone(compiled, "exponentials", 2 * [_P] + [_L])
        self.panel: int = compiled.panel_width()


_threads: list[int] = []
"""Number of threads within :func:`threads_for_kernels`."""


@contextmanager
def threads_for_kernels() -> Iterator[None]:
    """Leave torch one thread and the kernels all of them: on a busy core torch waits for each of its own threads."""
    threads = torch.get_num_threads()
    _threads.append(_threads[-1] if _threads else threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _threads.pop()
        torch.set_num_threads(threads)


def _function(compiled: CDLL, name: str, arguments: list[Any]) -> Callable[..., None]:
    """Return a function that is given the number of threads as its last argument."""
    function = _alone(compiled, name, [*arguments, _I])
    return lambda *values: function(*values, _threads[-1] if _threads else torch.get_num_threads())


def _alone(compiled: CDLL, name: str, arguments: list[Any]) -> Callable[..., None]:
    function = getattr(compiled, name)
    function.argtypes, function.restype = arguments, None
    return function


def _at(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def floats(tensor: Tensor) -> Tensor:
    """Return a tensor's values as dense float32; itself where it is that already."""
    return tensor.detach().to(torch.float32).contiguous()


def pack(weight: Tensor, bias: Tensor | None = None) -> Packed:
    """Pack a weight [outs, ins] with its bias [outs]."""
    return _pack(weight, None, (bias, None))


def pack_pair(gate: Tensor, up: Tensor, biases: tuple[Tensor | None, Tensor | None] = (None, None)) -> Packed:
    """Pack a gate and what it gates, both [outs, ins], with their biases [outs], both or none."""
    return _pack(gate, up, biases)


def _pack(weight: Tensor, other: Tensor | None, biases: tuple[Tensor | None, Tensor | None]) -> Packed:
    lib = library()
    weight, other = floats(weight), None if other is None else floats(other)
    outs, ins = weight.shape
    step = lib.panel if other is None else lib.panel // 2
    panels = torch.empty(-(-outs // step), ins, lib.panel)
    lib.pack(_at(weight), _at(other), _at(panels), outs, ins)
    first, second = (None if bias is None else floats(bias) for bias in biases)
    return Packed(panels, (first, second), outs, ins, other is not None)


def linear(
    x: Tensor,
    packed: Packed,
    *,
    act: str | None = None,
    residual: Tensor | None = None,
    strips: Strips | None = None,
    steps: int = 1,
    half: bool = False,
) -> Tensor:
    """Return act(x W^T + bias) + residual, or act(x G^T) * (x U^T) of a pair.

    Args:
        x: [..., ins], dense in the last axis.
        packed: W, or G and U.
        act: name of an activation (:data:`ACTIVATIONS`).
        residual: [..., outs], dense.
        strips: rows with weights of their own.
        steps: consecutive vectors of x that are one row of ``strips``.
        half: round to bfloat16.

    Returns:
        [..., outs].
    """
    x = x.contiguous()
    out = x.new_empty(*x.shape[:-1], packed.outs)
    rows = out.numel() // packed.outs
    first, second = packed.biases
    library().linear(
        *(_at(x), _at(packed.panels), _at(first), _at(second), _at(residual), _at(out)),
        *(rows, packed.ins, packed.outs, packed.ins),
        *(packed.paired, ACTIVATIONS[act] if act else 0, half),
        *((_at(strips.table), len(strips)) if strips else (None, 0)),
        steps,
    )
    return out


def norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    epsilon: float,
    *,
    centred: bool = False,
    early: bool = True,
    half: bool = False,
) -> Tensor:
    """Return rows of x divided by their root mean square, times weight, plus bias.

    Args:
        x: [..., width].
        weight, bias: [width].
        epsilon: added to the mean square.
        centred: whether the mean is taken off first (layer norm).
        early: whether ``half`` rounds before the weight as well, as Llama does and Gemma does not.
        half: round to bfloat16.
    """
    x = x.contiguous()
    out, width = torch.empty_like(x), x.shape[-1]
    bias = torch.zeros_like(weight) if centred and bias is None else bias
    sizes = (x.numel() // width, 1, width, width, width)
    library().norm(_at(x), _at(weight), _at(bias), _at(out), *sizes, epsilon, centred, early, half)
    return out


def norm_heads(
    x: Tensor, first: int, heads: int, weight: Tensor, epsilon: float, *, early: bool, half: bool
) -> None:
    """Norm ``heads`` vectors of every row of x [rows, features], those from feature ``first`` on, in place."""
    width, at = len(weight), x.data_ptr() + 4 * first
    sizes = (len(x), heads, width, x.shape[1], x.shape[1])
    library().norm(at, _at(weight), None, at, *sizes, epsilon, False, early, half)


def activate(x: Tensor, act: str, *, half: bool = False) -> Tensor:
    """Return an activation of every element."""
    x = x.contiguous()
    out = torch.empty_like(x)
    library().activate(_at(x), _at(out), x.numel(), ACTIVATIONS[act], half)
    return out


def new_cache(*shape: int, positions: int, head_dim: int) -> Tensor:
    """Return room for keys and values, [*shape, positions, head_dim], both rounded up to what :func:`attend` asks."""
    return torch.empty(*shape, -(-positions // (2 * SUMS)) * 2 * SUMS, -(-head_dim // SUMS) * SUMS)


@dataclass(frozen=True)
class Heads:
    """Attention of a layer.

    Attributes:
        n_heads, n_kv_heads: query heads, and heads of keys and values.
        head_dim: features of a head.
        scale: of the scores.
        window: positions that a token looks back at, itself included.
        cap: soft-cap of the scores; 0 is none.
    """

    n_heads: int
    n_kv_heads: int
    head_dim: int
    scale: float
    window: int
    cap: float = 0.0


def attend(
    qkv: Tensor,
    heads: Heads,
    cache: Tensor,
    rotary: tuple[Tensor, Tensor] | None,
    positions: Tensor,
    rows: int,
    *,
    read: bool = True,
    half: bool = False,
) -> Tensor | None:
    """Rotate queries and keys, remember keys and values, and return what every query sees.

    Args:
        qkv: [rows * steps, (n_heads + 2 n_kv_heads) * head_dim], dense; changed. Without ``read``, there need not be
            queries.
        heads: their numbers.
        cache: keys and values of the rows, [2, rows or more, n_kv_heads, positions, head_dim] of :func:`new_cache`,
            dense in the last two axes. It is in an order of its own: copy whole multiples of 16 positions.
        rotary: cosines and sines by position, [positions, turned features]; None: nothing is rotated.
        positions: int64, of the tokens of a pass, [rows, steps], or [1, steps] where all rows are fed the same. They
            rise along a row; the last may be repeated.
        rows: of the pass.
        read: whether what queries see is wanted.
        half: round to bfloat16.

    Returns:
        [rows * steps, n_heads * head_dim], None without ``read``.
    """
    steps, row, keys_row = positions.shape[1], qkv.shape[1], heads.n_kv_heads * heads.head_dim
    own = row - 2 * keys_row
    out = qkv.new_empty(len(qkv), own) if read else None
    cos, sin = rotary if rotary else (None, None)
    q = qkv.data_ptr()
    keys, values = cache
    library().attend(
        *(q, q + 4 * own, q + 4 * (own + keys_row), _at(keys), _at(values), _at(out), _at(cos), _at(sin)),
        *(_at(positions), steps if len(positions) > 1 else 0, rows, steps),
        *(heads.n_heads, heads.n_kv_heads, heads.head_dim, 0 if cos is None else cos.shape[1], row),
        *(keys.stride(0), keys.stride(1), heads.window, heads.scale, heads.cap, half),
    )
    return out


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent of every element."""
    x = x.contiguous()
    out = torch.empty_like(x)
    library().hyperbolic(_at(x), _at(out), x.numel())
    return out


def cos_sin(angles: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of every element."""
    angles = angles.contiguous()
    cos, sin = torch.empty_like(angles), torch.empty_like(angles)
    library().circle(_at(angles), _at(cos), _at(sin), angles.numel())
    return cos, sin


def power(base: float, exponents: Tensor) -> Tensor:
    """Return a base > 1 to the power of every element, float32, 0 or more."""
    exponents = exponents.contiguous()
    out = torch.empty_like(exponents)
    library().power(base, _at(exponents), _at(out), exponents.numel())
    return out


def gumbel(words: Tensor) -> Tensor:
    """Return -log q of draws q ~ Exponential(1), float32, one for every random int64."""
    out = torch.empty(words.shape)
    library().gumbel(_at(words), _at(out), words.numel())
    return out


def pick(
    logits: Tensor,
    *,
    noise: Tensor | None,
    steps: Tensor,
    ids: Tensor | None,
    vocabulary: int,
    top_k: int,
    temperature: float,
    top_p: float,
    min_p: float,
    facts: Tensor | None = None,
) -> Tensor:
    """Return the token that every row picks, int64 [n]; -1 where the step is not finite.

    Args:
        logits: [n, m].
        noise: [steps, vocabulary]; None picks the largest logit, and nothing is filtered.
        steps: of the rows, int64 [n].
        ids: tokens of the columns, ascending, int64 [m]; None where the columns are the vocabulary.
        vocabulary: size.
        top_k: the k largest logits stay, and ties of the last; ``vocabulary`` for all.
        temperature: that logits are divided by.
        top_p: the least probable go that add up to no more than 1 - top_p.
        min_p: those go that are less than this share as probable as the first; 0 for none.
        facts: gets the logits of what is picked, and the least that top-k leaves, [2, n].
    """
    logits = logits.contiguous()
    picked, bars = (None, None) if facts is None else facts
    tokens = torch.empty(len(logits), dtype=torch.int64)
    low = float("-inf") if min_p <= 0 else float(log(torch.tensor([min_p], dtype=torch.float64)))
    library().pick(
        *(_at(logits), _at(noise), _at(steps), _at(ids), _at(tokens), _at(picked), _at(bars)),
        *(*logits.shape, vocabulary, top_k, temperature, low, top_p),
    )
    return tokens


def shortlist(
    logits: Tensor,
    norms: Tensor,
    noise: Tensor | None,
    picked: int,
    *,
    top_k: int,
    always: int,
    temperature: float,
    shift: float,
    radii: Sequence[float],
    longest: int,
) -> tuple[Tensor, float, Tensor]:
    """Return the tokens that states near a known one can pick (:mod:`mutascope.engine.head`).

    Args:
        logits: of the known state, [vocabulary].
        norms: of the centred rows of the head, [vocabulary].
        noise: of the step, [vocabulary], if any.
        picked: token.
        top_k: of the filter; ``vocabulary`` for none.
        always: tokens of the largest logits that are on the list in any case.
        temperature: that logits are divided by.
        shift: what all logits have in common.
        radii: descending; the first is taken that leaves at most ``longest`` tokens, or else the last.

    Returns:
        The tokens, ascending, int64; the radius; the logits, without ``shift``, that others stay below: that of what is
        picked, the same with its noise, and the last of the top k.
    """
    tokens, count = torch.empty(len(logits), dtype=torch.int64), torch.empty(1, dtype=torch.int64)
    bars, radius = torch.empty(3), torch.tensor(radii)
    library().shortlist(
        *(_at(logits), _at(norms), _at(noise), _at(radius), _at(tokens), _at(count), _at(bars)),
        *(len(logits), picked, top_k, always, len(radii), longest, temperature, shift),
    )
    return tokens[: int(count)].clone(), float(radius[0]), bars


def log(x: Tensor) -> Tensor:
    """Return the logarithm of every element, float64, > 0."""
    out = torch.empty_like(x)
    library().logarithms(_at(x), _at(out), x.numel())
    return out


def exp(x: Tensor) -> Tensor:
    """Return the exponential of every element, float64, <= 0."""
    out = torch.empty_like(x)
    library().exponentials(_at(x), _at(out), x.numel())
    return out


def weigh(logits: Tensor, wild: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return what probabilities are made of.

    Args:
        logits: [n, vocabulary].
        wild: logits of the wild type, [vocabulary], to compare with.

    Returns:
        Of every row, in float64 [n]: the largest logit; the sum of exp(logit - largest); and the sum of exp(wild -
        largest of wild) * (logit - wild), 0 without ``wild``.
    """
    logits = logits.contiguous()
    largest = torch.empty(len(logits))
    sums, changes = (
        torch.empty(len(logits), dtype=torch.float64),
        torch.zeros(len(logits), dtype=torch.float64),
    )
    top = 0.0 if wild is None else float(wild.max())
    library().weigh_logits(
        *(_at(logits), _at(wild), top, _at(largest), _at(sums), _at(changes), *logits.shape)
    )
    return largest.double(), sums, changes
