"""A screen on disk: manifest, record shards, phenotype texts (docs/format.md)."""

from mutascope.store.folder import ScreenFolder
from mutascope.store.shards import Shard

__all__ = ["ScreenFolder", "Shard"]
