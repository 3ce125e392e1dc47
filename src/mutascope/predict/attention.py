"""The exact response of attention to the mutants of q and k: norm over the head, rotary embedding and softmax included.

A tile of q changes a few features of one head's queries, and with them the scores of every query (position p) against
every key (position s) by sum_r change_pr K_psr, where K_ps is the key, rotated back by the angle of the query. A tile
of k does the same for keys, in all heads that share them. Softmax of the scores with this change gives what the head
mixes from the values.
With a norm over the head (Qwen3), the queries also shrink as a whole: d has a part (ratio - 1) * score.

The product of this change with the gradient at the input of o, summed over positions, is the change of the margin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mutascope.predict.fills import Fill
from mutascope.predict.layout import Index, Reach
from mutascope.predict.response import Tiles
from mutascope.predict.tape import Layer, Norm, Tape, rotated

_SCORES, _SCORES_OF_CARDS = 2**20, 2**25
"""Scores held at a time: those of a CPU should stay in its cache, and a card is kept busy."""


@dataclass(frozen=True)
class _Segment:
    """Rows of a tile that lie in one head: place among the rows of sites, and features within the head."""

    site_row: int
    start: int
    stop: int


def attention_changes(
    tape: Tape,
    layer: Layer,
    kind: str,
    tiles: Tiles,
    mixed: Tensor,
    fills: Sequence[Fill],
    reach: Reach,
    asking: Tensor,
) -> Tensor:
    """Return the change of every margin, through some of the queries, under every fill of every tile of q or k.

    Args:
        tape, layer: of the wild type.
        kind: ``q`` or ``k``.
        tiles: of the locus.
        mixed: gradients at the input of o, [targets, positions, H w].
        fills: what is written.
        reach: which targets see which positions.
        asking: positions of the queries, ascending, on the CPU.

    Returns:
        float32 [fills, site rows, targets, site cols].
    """
    rows, cols = tiles.grid
    changes = mixed.new_zeros(len(fills), rows, mixed.shape[0], cols)
    mixed = mixed.unflatten(2, (-1, tape.head_dim))
    changing = asking if kind == "q" else torch.arange(tape.positions)
    x = layer.first.y[changing]
    for head in range(tiles.matrix.shape[0] // tape.head_dim):
        segments = list(_segments(tiles, head, tape.head_dim))
        if not segments:
            continue
        view = _Head.of(tape, layer, kind, head, changing)
        own = tiles.matrix[head * tape.head_dim : (head + 1) * tape.head_dim]
        parts, sums = Tiles(own, tiles.side).parts(x)
        move = torch.stack([(fill.scale - 1) * parts + fill.constant * sums[..., None] for fill in fills])
        move = move.permute(2, 3, 0, 1).flatten(2)  # [changing positions, features, fills * site cols]
        for segment in segments:
            moved = view.moved(move[:, segment.start : segment.stop], segment)
            for query in view.queries:
                change = view.change(query, moved, segment, mixed[:, :, query], reach, asking)
                changes[:, segment.site_row] += change.unflatten(1, (len(fills), cols)).transpose(0, 1)
    return changes


def _segments(tiles: Tiles, head: int, head_dim: int) -> Iterator[_Segment]:
    start, stop = head * head_dim, (head + 1) * head_dim
    for site_row in range(start // tiles.side, -(-stop // tiles.side)):
        if tiles.only is not None and site_row not in tiles.only:
            continue
        first, last = max(start, site_row * tiles.side), min(stop, (site_row + 1) * tiles.side)
        place = site_row if tiles.only is None else tiles.only.index(site_row)
        yield _Segment(place, first - start, last - start)


@dataclass(frozen=True)
class _Head:
    """A head of q, or a key/value head of k with the query heads that share it; N positions, w features of a head.

    Attributes:
        of_queries: whether it is the queries that change.
        queries: indices of the query heads whose scores change.
        layer: the wild type.
        norm: over the head at the positions that change, [changing positions, w] each; None without one.
        cos, sin: rotary embedding, [N, w].
        kv_head: that they share.
        changing: positions whose queries or keys change.
    """

    of_queries: bool
    queries: range
    layer: Layer
    norm: Norm | None
    cos: Tensor
    sin: Tensor
    kv_head: int
    changing: Tensor

    @classmethod
    def of(cls, tape: Tape, layer: Layer, kind: str, head: int, changing: Tensor) -> _Head:
        """Return head ``head`` of q or k."""
        share = tape.n_rep
        queries = range(head, head + 1) if kind == "q" else range(head * share, (head + 1) * share)
        whole = layer.q_norm if kind == "q" else layer.k_norm
        norm = None
        if whole is not None:
            norm = Norm(whole.x[changing, head], whole.scale[changing, head], whole.weight)
        return cls(kind == "q", queries, layer, norm, tape.cos, tape.sin, queries[0] // share, changing)

    def moved(self, move: Tensor, segment: _Segment) -> Tensor:
        """Return the change of the head's features behind its norm, [changing positions, features (+ 1), mutants].

        Args:
            move: change of the map's output, [changing positions, features, mutants].

        With a norm, a last feature is the relative change of all features, (ratio - 1).
        """
        if self.norm is None:
            return move
        x, weight = (
            part[..., segment.start : segment.stop, None] for part in (self.norm.x, self.norm.weight)
        )
        growth = (move * (2 * x + move)).sum(1, keepdim=True) / self.norm.x.shape[-1]
        before = self.norm.scale[..., None]
        after = torch.rsqrt((before.pow(-2) + growth).clamp(min=torch.finfo(growth.dtype).tiny))
        return torch.cat([move * weight * after, after / before - 1], dim=1)

    def change(
        self, query: int, moved: Tensor, segment: _Segment, mixed: Tensor, reach: Reach, asking: Tensor
    ) -> Tensor:
        """Return the changes of the margins through one query head, [targets, mutants].

        Args:
            query: the head.
            moved: of :meth:`moved`.
            mixed: gradients at what the head mixes, [targets, N, w].
            reach: which targets see which positions.
            asking: positions of the queries.
        """
        mutants = moved.shape[2]
        values = self.layer.v[self.kv_head]
        wild = self.layer.mixed.unflatten(1, (-1, values.shape[1]))[:, query]
        changes = mixed.new_zeros(len(mixed), mutants)
        held, done = _SCORES if mixed.device.type == "cpu" else _SCORES_OF_CARDS, 0
        for at, keys, some in reach.chunks(asking, max(1, held // (reach.layout.longest * mutants))):
            lever = self._lever(query, segment, at, keys)  # [queries, keys, features (+ 1)]
            if self.of_queries:
                scores = moved[done : done + len(lever)].transpose(1, 2) @ lever.transpose(1, 2)
            else:
                by_key = lever.transpose(0, 1) @ moved[keys]  # [keys, queries, mutants]
                scores = by_key.flatten(1).T.contiguous().unflatten(0, (len(lever), mutants))
            done += len(lever)
            # [queries, mutants, keys]: along another dimension than the last, softmax depends on the number of threads
            weights = scores.add_(self._scores(query, at, keys)[:, None]).softmax(-1)
            after = (values[keys].T @ weights.transpose(1, 2)).sub_(
                wild[at, :, None]
            )  # [queries, w, mutants]
            changes[some] += mixed[some, at].flatten(1) @ after.flatten(0, 1)
        return changes

    def _scores(self, query: int, at: Index, keys: Index) -> Tensor:
        """Return the wild type's scores, -inf where a query does not see the key, [queries, keys]."""
        scores = self.layer.q[query][at] @ self.layer.k[self.kv_head][keys].T * self.layer.scale
        return scores.masked_fill_(~self.layer.seen[at][:, keys], -torch.inf)

    def _lever(self, query: int, segment: _Segment, at: Index, keys: Index) -> Tensor:
        """Return how a feature of the changed side moves a score, [queries, keys, features (+ 1)]."""
        scaling = self.layer.scale
        q, k = self.layer.q[query][at], self.layer.k[self.kv_head][keys]
        if self.of_queries:
            lever = rotated(k[None], self.cos[at][:, None], -self.sin[at][:, None])
        else:
            lever = rotated(q[:, None], self.cos[keys][None], -self.sin[keys][None])
        lever = lever[..., segment.start : segment.stop]
        if self.norm is not None:
            lever = torch.cat([lever, (q @ k.T)[..., None]], dim=-1)
        return lever * scaling
