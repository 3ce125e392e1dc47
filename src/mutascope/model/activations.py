"""What a site is like before it is mutated: norms of its weights, and the activations that it reads.

Computed once per screen, while the model is at hand, and stored with it (docs/format.md, covariates.parquet), so that
analyses can ask what explains a map without torch.

The *wild type's activations* are those of one forward pass per prompt over all tokens that the model was fed: the
prompt and the continuation but its last token.

The *stream* is the residual stream as a map reads it, before the norm: the input of the norm whose output is the
map's input. In q, k, v, gate and up a feature of the input is a feature of the stream; o and down read no stream.
Massive activations are a property of the stream: the norm hides them from the map's own input, where its weights
shrink these features. Sun, Chen, Kolter and Liu (2024, arXiv:2402.17762) call an activation massive when its magnitude
is above 100 and around 1,000 times the median magnitude of its hidden state, or more. Here, 100 times will do: in the
default model the second largest stays at 1,700 while the median grows layer by layer, from 900 times to 170 times below
it, and is one and the same phenomenon. The ratio is stored, for those who want to draw the line elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from mutascope.core.design import Plan
from mutascope.core.genome import Locus, Tiling
from mutascope.core.protocol import Prompt
from mutascope.core.schema import COVARIATE_SCHEMA
from mutascope.model.loading import Model
from mutascope.model.mutations import Mutagen

MASSIVE_MAGNITUDE = 100
MASSIVE_RATIO = 100
"""A massive activation is above the magnitude, and above this many times the median magnitude of the stream."""
_BLOCK = 2**22
"""Weights converted to float64 at a time, which bounds the memory."""
_NORMS_BACK = 8
"""Norms whose output may still be read: those of a layer, and then some."""

Note = Callable[[str, Tensor, Tensor | None], None]
"""Told the parameter of a map, its input, and the stream behind a norm."""


@dataclass
class Inputs:
    """What the features of a map's input do over the positions seen so far.

    Attributes:
        squares: float64 [features], sum of the squared activations.
        largest: float64 [features], largest magnitude.
        ratio: float64 [features], largest magnitude in the stream over the stream's median, the largest of any prompt;
            None where the map does not read the stream.
        massive: bool [features], whether a massive activation was seen in the stream.
        positions: number of positions.
    """

    squares: np.ndarray
    largest: np.ndarray
    ratio: np.ndarray | None
    massive: np.ndarray
    positions: int

    @classmethod
    def of(cls, inputs: Tensor, stream: Tensor | None) -> Inputs:
        """Summarise the inputs [positions, features] of a map, and the stream of the same shape."""
        values = inputs.double()
        peak = values.abs().amax(0).cpu().numpy()
        massive, ratio = np.zeros(len(peak), dtype=bool), None
        if stream is not None:
            magnitude = stream.double().abs()
            highest, median = magnitude.amax(0).cpu().numpy(), max(float(magnitude.median()), 1e-30)
            ratio = highest / median
            massive = (highest > MASSIVE_MAGNITUDE) & (ratio > MASSIVE_RATIO)
        return cls(values.square().sum(0).cpu().numpy(), peak, ratio, massive, len(inputs))

    def joined(self, other: Inputs) -> Inputs:
        """Return the summary over the positions of both."""
        alone = self.ratio is None or other.ratio is None
        return Inputs(
            self.squares + other.squares,
            np.maximum(self.largest, other.largest),
            None if alone else np.maximum(self.ratio, other.ratio),  # pyright: ignore[reportArgumentType, reportCallIssue]
            self.massive | other.massive,
            self.positions + other.positions,
        )


def site_covariates(
    model: Model,
    plan: Plan,
    tiling: Tiling,
    prompts: Sequence[Prompt],
    continuations: Sequence[Sequence[int]],
) -> pl.DataFrame:
    """Return the covariates of every site of a design.

    Args:
        model: with its wild type weights; left as it is.
        plan: the design.
        tiling: that of the screen.
        prompts: of the assay.
        continuations: token ids that the wild type generated, per prompt.

    Returns:
        A row per site, by locus, row and col, with the columns of docs/format.md, section 5.5.
    """
    mutagen = Mutagen(model.network, model.genome, tiling)
    fed = [[*p.tokens, *tokens[:-1]] for p, tokens in zip(prompts, continuations, strict=True)]
    inputs = wild_type_inputs(model, plan.loci, fed)
    frames = [pl.DataFrame(schema=COVARIATE_SCHEMA)]
    for locus, sites in zip(plan.loci, _sites(plan, tiling), strict=True):
        if len(sites):
            columns = {**_norms(mutagen, locus, tiling), **_activations(inputs.get(locus.parameter), tiling)}
            row, col = sites.T
            values = {
                name: None if grid is None else np.broadcast_to(grid, tiling.grid(locus))[row, col]
                for name, grid in columns.items()
            }
            frame = pl.DataFrame({"row": row, "col": col, **values}).with_columns(
                layer=pl.lit(locus.layer), kind=pl.lit(locus.kind)
            )
            frames.append(frame.select(pl.col(name).cast(kind) for name, kind in COVARIATE_SCHEMA.items()))
    return pl.concat(frames)


def wild_type_inputs(
    model: Model, loci: Sequence[Locus], sequences: Sequence[Sequence[int]]
) -> dict[str, Inputs]:
    """Return what the maps of ``loci`` read when the model is fed each sequence of token ids, by parameter name."""
    found: dict[str, Inputs] = {}

    def note(parameter: str, inputs: Tensor, stream: Tensor | None) -> None:
        now = Inputs.of(inputs.flatten(0, -2), None if stream is None else stream.flatten(0, -2))
        found[parameter] = found[parameter].joined(now) if parameter in found else now

    with _listening(model, {locus.parameter for locus in loci}, note), torch.inference_mode():
        for tokens in sequences:
            model.network(torch.tensor([tokens], device=model.network.device), use_cache=False)
    return found


@contextmanager
def _listening(model: Model, parameters: set[str], note: Note) -> Iterator[None]:
    """Call ``note`` whenever one of the maps is applied."""
    norms: deque[tuple[Tensor, Tensor]] = deque(maxlen=_NORMS_BACK)

    def after_norm(
        _module: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor
    ) -> None:
        norms.append((output, _first(arguments, named)))

    def before_map(parameter: str) -> Callable[[nn.Module, tuple[Tensor, ...], dict[str, Tensor]], None]:
        def hook(_module: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            read = _first(arguments, named)
            stream = next((given for made, given in norms if made is read), None)
            note(parameter, read, stream)

        return hook

    modules = {name: model.network.get_submodule(name.rpartition(".")[0]) for name in parameters}
    handles = [
        module.register_forward_pre_hook(before_map(name), with_kwargs=True)
        for name, module in modules.items()
        if isinstance(module, nn.Linear | Conv1D)  # experts see some tokens each, of which no module tells
    ]
    handles += [
        module.register_forward_hook(after_norm, with_kwargs=True)
        for module in model.network.modules()
        if "norm" in type(module).__name__.lower()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _first(arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> Tensor:
    """Return the first argument of a call, whether it was named or not."""
    return arguments[0] if arguments else next(iter(named.values()))


def _sites(plan: Plan, tiling: Tiling) -> list[np.ndarray]:
    """Distinct sites [sites, 2] of every locus of the design, by row and col."""
    grids = np.array([tiling.grid(locus) for locus in plan.loci])
    locus, row, col = plan.codes[:, :3].T
    found = []
    for index, (_, wide) in enumerate(grids):
        chosen = locus == index
        flat = np.unique(row[chosen].astype(np.int64) * wide + col[chosen])
        found.append(np.stack([flat // wide, flat % wide], axis=1))
    return found


def _norms(mutagen: Mutagen, locus: Locus, tiling: Tiling) -> dict[str, np.ndarray]:
    """Frobenius norms [site rows, site cols] of every tile, and of the change that each mutation makes to it.

    Writing m over a tile of n elements changes it by sqrt(n m^2 - 2 m (sum of elements) + (sum of squares)).
    """
    matrix, tile = mutagen.matrix(locus), tiling.tile
    rows, cols = tiling.grid(locus)
    sums, squares = np.empty((rows, cols)), np.empty((rows, cols))
    step = max(1, _BLOCK // (tile * locus.cols))
    for start in range(0, rows, step):
        strip = matrix[start * tile : (start + step) * tile].double()
        sums[start : start + step] = tile_sums(strip, tile)
        squares[start : start + step] = tile_sums(strip.square(), tile)
    high, wide = (np.minimum(tile, size - np.arange(0, size, tile)) for size in (locus.rows, locus.cols))
    elements = np.outer(high, wide)
    norm = np.sqrt(squares)
    changes = {}
    for name, extreme in (("change_max", matrix.amax()), ("change_min", matrix.amin())):
        value = float(extreme)
        changes[name] = np.sqrt(np.maximum(elements * value**2 - 2 * value * sums + squares, 0))
    return {"tile_norm": norm, **changes, "change_zero": norm}


def tile_sums(values: Tensor, tile: int) -> np.ndarray:
    """Sum of every tile of a matrix, [tile rows, tile cols]; tiles at the far edges may be smaller."""
    rows, cols = values.shape
    padded = nn.functional.pad(values, (0, -cols % tile, 0, -rows % tile))
    tiles = padded.view(padded.shape[0] // tile, tile, padded.shape[1] // tile, tile)
    return tiles.sum(dim=(1, 3)).cpu().numpy()


def _activations(inputs: Inputs | None, tiling: Tiling) -> dict[str, np.ndarray | None]:
    """Covariates of every column of sites, [1, site cols]; None where there is nothing to say."""
    if inputs is None:
        return {"input_norm": None, "input_max": None, "stream_ratio": None, "massive": None}
    starts = np.arange(0, len(inputs.squares), tiling.tile)
    ratio = None if inputs.ratio is None else np.maximum.reduceat(inputs.ratio, starts)[None]
    return {
        "input_norm": np.sqrt(np.add.reduceat(inputs.squares, starts) / inputs.positions)[None],
        "input_max": np.maximum.reduceat(inputs.largest, starts)[None],
        "stream_ratio": ratio,
        "massive": np.logical_or.reduceat(inputs.massive, starts)[None],
    }
