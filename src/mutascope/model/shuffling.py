"""The null model: matrices whose elements stand in another order.

Rows, columns and neighbourhoods of a shuffled matrix are gone. Its elements, and so what ``max`` and ``min`` write, are
what they were, as is everything that flows into it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from mutascope.core.genome import Locus
from mutascope.core.manifest import ShuffledInfo
from mutascope.model.loading import Model, fingerprint
from mutascope.model.matrices import features_of, matrix_of, parameter_of


def shuffle(model: Model, loci: Iterable[Locus], seed: int) -> Model:
    """Return the model with all elements of each locus permuted. Its network is changed in place.

    Args:
        model: with its own weights.
        loci: whose matrices are shuffled; nothing else is touched.
        seed: with the name of a locus, it determines the permutation (docs/format.md, 4.2).
    """
    chosen = list(loci)
    for locus in chosen:
        matrix = matrix_of(model.network, locus)
        order = torch.from_numpy(_order(locus, seed)).to(matrix.device)
        shuffled = matrix.reshape(-1)[order].view(matrix.shape)
        parameter_of(model.network, locus)[features_of(locus, 0, locus.rows)] = shuffled
    told = ShuffledInfo(of=model.fingerprint, seed=seed, loci=[locus.name for locus in chosen])
    return replace(model, fingerprint=fingerprint(model.network), shuffled=told)


def _order(locus: Locus, seed: int) -> np.ndarray:
    """Return the place that every element, row by row, is taken from."""
    digest = hashlib.sha256(f"{locus.name} {seed}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return random.permutation(locus.rows * locus.cols)
