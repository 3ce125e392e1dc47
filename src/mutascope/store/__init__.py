"""A screen on disk: manifest, record shards, phenotype texts (docs/format.md)."""

from mutascope.store.folder import FORMAT_VERSION, ScreenFolder, Shard

__all__ = ["FORMAT_VERSION", "ScreenFolder", "Shard"]
