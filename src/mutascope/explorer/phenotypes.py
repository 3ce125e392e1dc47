"""Pages on the phenotypes of a screen: their numbers, their texts, their sites, and which words are in which."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl

from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.explorer.packing import pack
from mutascope.explorer.words import word_index
from mutascope.findings import ScreenSet

PIECE = 1024
"""Phenotypes whose texts, or sites, are one page."""


class PhenotypePages:
    """The phenotypes of the NSMs of a screen, by their place in :attr:`table`.

    Args:
        given: set that has the screen.
        label: of the screen.
        loci: shapes in sites by the name of the locus, in the order of the index.
        mutations: in the order of the index.
    """

    def __init__(
        self, given: ScreenSet, label: str, loci: dict[str, tuple[int, int]], mutations: Sequence[str]
    ) -> None:
        self.given, self.label, self.loci, self.mutations = given, label, loci, list(mutations)
        self.several = len(given.results[label].manifest.wild_type) > 1

    @cached_property
    def table(self) -> pl.DataFrame:
        """A row per phenotype, most frequent first: phenotype, index, mutants, loci, said; cosine, edit.

        The last two are null where the assay is no text.
        """
        nsms = self.given.records[self.label].filter(~pl.col("silent"))
        counted = nsms.group_by("phenotype", maintain_order=True).agg(
            mutants=pl.len(), loci=pl.struct(LOCUS_KEY).n_unique()
        )
        ordered = counted.sort("mutants", descending=True, maintain_order=True).with_row_index("index")
        said = pl.col("text" if self.several else "continuation").alias("said")
        texts = self.given.phenotypes[self.label].select("phenotype", said)
        known = ordered.join(texts, on="phenotype", how="left", maintain_order="left")
        severity = self.given.severity.get(self.label)
        if severity is None:
            return known.with_columns(cosine=pl.lit(None, pl.Float64), edit=pl.lit(None, pl.Float64))
        measured = severity.select("phenotype", "cosine", "edit")
        return known.join(measured, on="phenotype", how="left", maintain_order="left")

    @property
    def pieces(self) -> int:
        """Number of pages of texts, and of sites."""
        return -(-len(self.table) // PIECE)

    def numbers(self) -> bytes:
        """Return the table, packed: ``mutants``, ``loci``, ``first`` and, of a text assay, ``cosine`` and ``edit``.

        ``first`` are the places in the order of the alphabet.
        """
        table = self.table
        arrays = {name: table[name].to_numpy().astype(np.uint32) for name in ("mutants", "loci")}
        begins = table["said"].fill_null("").str.slice(0, 80).str.strip_chars().str.to_lowercase()
        ordered = pl.DataFrame({"begins": begins}).with_row_index().sort("begins", maintain_order=True)
        arrays["first"] = ordered["index"].to_numpy().astype(np.uint32)
        for name in ("cosine", "edit"):
            if table[name].count():
                arrays[name] = table[name].cast(pl.Float32).fill_null(float("nan")).to_numpy()
        return pack(arrays)

    def texts(self, piece: int) -> bytes:
        """Return a piece of the table as JSON: id and text of each; null for what was not finite.

        Raises:
            KeyError: when there is no such piece.
        """
        told = self._piece(piece).select("phenotype", "said").rows()
        return json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass")

    @cached_property
    def _sites(self) -> tuple[np.ndarray, pl.DataFrame]:
        """Where the mutants of each phenotype start, and all mutants by phenotype: locus, site, mutation."""
        nsms = self.given.records[self.label].filter(~pl.col("silent")).select(*MUTANT_KEY, "phenotype")
        places = pl.DataFrame(
            [(*_locus_key(name), place, cols) for place, (name, (_, cols)) in enumerate(self.loci.items())],
            schema={"layer": pl.Int16, "kind": pl.String, "locus": pl.UInt16, "cols": pl.UInt32},
            orient="row",
        )
        mutations = {name: place for place, name in enumerate(self.mutations)}
        known = (
            nsms.join(self.table.select("phenotype", "index"), on="phenotype", maintain_order="left")
            .join(places, on=LOCUS_KEY, maintain_order="left")
            .sort("index", maintain_order=True)
            .select(
                "locus",
                site=(pl.col("row") * pl.col("cols") + pl.col("col")).cast(pl.UInt32),
                mutation=pl.col("mutation").replace_strict(mutations, return_dtype=pl.UInt8),
            )
        )
        return np.concatenate([[0], np.cumsum(self.table["mutants"].to_numpy())]), known

    def sites(self, piece: int) -> bytes:
        """Return the sites of a piece of the table, packed.

        Mutants of phenotype number i of the piece are ``start[i]`` to ``start[i + 1]`` of ``locus`` (place among the
        loci of the index), ``site`` (row times columns plus column) and ``mutation`` (place among those of the index).

        Raises:
            KeyError: when there is no such piece.
        """
        size = len(self._piece(piece))
        start, mutants = self._sites
        start = start[piece * PIECE : piece * PIECE + size + 1]
        mine = mutants[int(start[0]) : int(start[-1])]
        arrays = {name: mine[name].to_numpy() for name in mine.columns}
        return pack({"start": (start - start[0]).astype(np.uint32), **arrays})

    @cached_property
    def _index(self) -> tuple[list[str], list[bytes]]:
        return word_index(self.table["said"])

    @property
    def word_pieces(self) -> int:
        """Number of pages of the index of words."""
        return len(self._index[0])

    def first_words(self) -> bytes:
        """Return the first word of every page of the index of words, as JSON."""
        return json.dumps(self._index[0], ensure_ascii=False).encode()

    def words(self, piece: int) -> bytes:
        """Return a page of the index of words (:func:`~mutascope.explorer.words.word_index`).

        Raises:
            KeyError: when there is no such page.
        """
        return dict(enumerate(self._index[1]))[piece]

    def _piece(self, piece: int) -> pl.DataFrame:
        if not 0 <= piece < self.pieces:
            raise KeyError(piece)
        return self.table.slice(piece * PIECE, PIECE)


def _locus_key(name: str) -> tuple[int, str]:
    layer, _, kind = name.partition(".")
    return int(layer), kind
