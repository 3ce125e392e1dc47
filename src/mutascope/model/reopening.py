"""The model of a stored screen, loaded again."""

from __future__ import annotations

from typing import Any

from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import Manifest
from mutascope.model.loading import Model, load_model
from mutascope.model.shuffling import shuffle


def load_screened(manifest: Manifest, folder: str, **loading: Any) -> Model:
    """Return the model that was screened, with the very weights.

    Args:
        manifest: of the screen.
        folder: of the screen, for the sentence of an error.
        loading: further arguments of :func:`~mutascope.model.loading.load_model`.

    Raises:
        MutascopeError: when the model of that name has other weights now, or the screen was imported.
    """
    stored = manifest.model
    if manifest.imported:
        raise MutascopeError(
            f"{folder} was imported, and does not say which weights of {stored.name} were screened"
        )
    model = load_model(stored.name, dtype=stored.dtype, **loading)
    if stored.shuffled is not None:
        chosen = set(stored.shuffled.loci)
        model = shuffle(
            model, (locus for locus in model.genome if locus.name in chosen), stored.shuffled.seed
        )
    if model.fingerprint != stored.fingerprint:
        raise MutascopeError(f"{stored.name} has other weights now than when {folder} was screened")
    return model
