"""What an interrupt found done of units that are not finished (docs/format.md, 5.7)."""

from __future__ import annotations

import polars as pl

from mutascope.store.files import DamagedError, Files
from mutascope.store.shards import SCHEMAS, Shard


class Parts:
    """The parts of unfinished units in a screen folder."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def write(self, unit: str, shard: Shard) -> None:
        """Keep what is done of a unit that is not: the same run again goes on from there."""
        for kind, frame in shard.tables():
            self._files.write_table(_name(kind, unit), frame)

    def read(self, unit: str) -> Shard | None:
        """Return what is done of a unit, None where nothing is, or it is damaged: then it is run again."""
        if not self._files.exists(_name("records", unit)):
            return None
        try:
            found = {
                kind: self._files.read_table(_name(kind, unit), schema)
                for kind, schema in SCHEMAS.items()
                if self._files.exists(_name(kind, unit))
            }
        except DamagedError:
            return None
        texts = found["phenotypes"]["phenotype"] if "phenotypes" in found else pl.Series([], dtype=pl.String)
        complete = found["records"]["phenotype"].is_in(texts.implode()).all()
        return Shard(**found) if complete else None

    def drop(self, unit: str) -> None:
        """Forget what was done of a unit."""
        for kind in SCHEMAS:  # the records first
            self._files.remove(_name(kind, unit))

    def count(self) -> int:
        """Return the number of mutants that are done of units that are not."""
        parts = [self.read(unit) for unit in self._units() - self._finished()]
        return sum(len(part.records) for part in parts if part)

    def tidy(self) -> None:
        """Forget what was kept of units that are done: an interrupt may have come between the two."""
        for unit in self._units() & self._finished():
            self.drop(unit)

    def _units(self) -> set[str]:
        return {unit for kind in SCHEMAS for unit in self._files.tables(f"partial/{kind}")}

    def _finished(self) -> set[str]:
        return set(self._files.tables("records"))


def _name(kind: str, unit: str) -> str:
    return f"partial/{kind}/{unit}.parquet"
