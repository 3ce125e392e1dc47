"""One screen as pages of data, made from its folder: index, overview, loci, phenotypes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import polars as pl

from mutascope.analysis.enrichment import HITS, nsm_enrichment
from mutascope.analysis.maps import LocusKey, MapData
from mutascope.core.schema import LOCUS_KEY, RECORD_SCHEMA
from mutascope.explorer.answers import answers_page, question_of
from mutascope.explorer.loci import locus_page
from mutascope.explorer.packing import pack
from mutascope.explorer.phenotypes import PIECE, PhenotypePages
from mutascope.explorer.pyramid import packed_levels, status_counts
from mutascope.explorer.shapes import LocusIndex, PagesIndex
from mutascope.findings import ScreenSet

OVERVIEW_SIDE = 512
"""Cells of a locus in the overview, at most, along an axis."""
NAMES = ("overview", "phenotypes", "words")
"""Pages that every screen has one of."""


def page_names(index: PagesIndex) -> Iterator[str]:
    """Yield the names of all pages of a screen, from its index."""
    yield from NAMES
    yield from (f"loci/{locus['name']}" for locus in index["loci"])
    for piece in range(-(-index["phenotypes"] // index["piece"])):
        yield f"texts/{piece}"
        yield f"sites/{piece}"
    yield from (f"words/{piece}" for piece in range(index["word_pieces"]))
    yield from (f"answers/{name}" for name in index["answered"])


class ScreenPages:
    """The pages of a screen, made when they are asked for.

    Args:
        folder: of the screen.

    Raises:
        MutascopeError: when it holds neither record nor prediction, or is damaged.
    """

    def __init__(self, folder: str) -> None:
        self.given = ScreenSet([f"screen={folder}"])
        (self.label,) = self.given.labels
        self.results = self.given.results[self.label]
        self.manifest = self.results.manifest
        self.maps = {f"{layer}.{kind}": data for (layer, kind), data in self._maps().items()}

    def _maps(self) -> dict[LocusKey, MapData]:
        return self.given.locus_maps(self.label)

    @cached_property
    def calls(self) -> pl.DataFrame:
        """What was run or predicted, with the place of its phenotype in the table (index)."""
        places = self.phenotypes.table.select("phenotype", "index")
        return self.given.maps[self.label].join(places, on="phenotype", how="left", maintain_order="left")

    @cached_property
    def _calls_of(self) -> dict[LocusKey, pl.DataFrame]:
        return _by_locus(self.calls)

    @cached_property
    def _lines(self) -> pl.DataFrame:
        """Tests of the rows and columns for NSM sites, and for sites of which both max and min are (column hit)."""
        calls = self.given.maps[self.label]
        return pl.concat(nsm_enrichment(calls, hit).with_columns(hit=pl.lit(hit)) for hit in HITS)

    @cached_property
    def _lines_of(self) -> dict[LocusKey, pl.DataFrame]:
        return _by_locus(self._lines)

    @cached_property
    def _covariates_of(self) -> dict[LocusKey, pl.DataFrame]:
        """Norms and massive activations: noted when the screen was run, or when it was predicted."""
        known = self.given.covariates.get(self.label)
        known = self.results.folder.baselines() if known is None else known
        return {} if known is None or "input_norm" not in known.columns else _by_locus(known)

    @cached_property
    def phenotypes(self) -> PhenotypePages:
        """The pages on what the mutants say."""
        shapes = {name: (data.status.shape[0], data.status.shape[1]) for name, data in self.maps.items()}
        return PhenotypePages(self.given, self.label, shapes, self.mutations)

    @cached_property
    def mutations(self) -> list[str]:
        """The mutations of the screen."""
        return self.given.maps[self.label]["mutation"].unique(maintain_order=True).to_list()

    @cached_property
    def measures(self) -> list[str]:
        """Numbers that the records have beyond those that all have, but for those of further seeds."""
        records, seeds = self.given.records[self.label], self.manifest.further_wild_types
        apart = {f"{name}_{output.seed}" for output in seeds for name in ("silence", "first_divergence")}
        known = RECORD_SCHEMA.keys() | apart
        return [name for name, kind in records.schema.items() if name not in known and kind.is_numeric()]

    @cached_property
    def letters(self) -> list[str]:
        """Letters of the choices whose probabilities are stored."""
        known = self.results.outputs().columns if self.manifest.assay.type == "choice" else []
        return [name.removeprefix("p_") for name in known if name.startswith("p_")]

    @cached_property
    def _outputs_of(self) -> dict[str, pl.DataFrame]:
        """Outputs by the name of the locus, where the assay has choices."""
        parts = _by_locus(self.results.outputs()) if self.letters else {}
        return {f"{layer}.{kind}": part for (layer, kind), part in parts.items()}

    @cached_property
    def index(self) -> PagesIndex:
        """What the screen is, and every locus with its counts."""
        outputs, assay = self.manifest.wild_type, self.manifest.assay
        facts = self._facts
        return {
            "title": self.results.title,
            "model": self.manifest.model.name,
            "assay": assay.name,
            "type": assay.type,
            "tile": self.manifest.tile,
            "predicted": self.results.predicted,
            "done": self.results.done,
            "mutations": self.mutations,
            "measures": self.measures,
            "prompt": self.manifest.prompts[0].text if self.manifest.prompts else "",
            "keys": [prompt.key for prompt in self.manifest.prompts if prompt.key is not None],
            "letters": self.letters,
            "questions": [question_of(prompt.text) for prompt in self.manifest.prompts if self.letters],
            "answered": list(self._outputs_of),
            "wild_type": self.results.wild_type if len(outputs) > 1 else outputs[0].continuation,
            "phenotypes": len(self.phenotypes.table),
            "severity": bool(self.phenotypes.table["cosine"].count()),
            "piece": PIECE,
            "word_pieces": self.phenotypes.word_pieces,
            "loci": [
                _locus_facts(data, facts.get((data.layer, data.kind), {})) for data in self.maps.values()
            ],
        }

    @cached_property
    def _facts(self) -> dict[LocusKey, dict[str, Any]]:
        """Distinct phenotypes of the NSMs, their mean cosine, and enriched lines, by locus."""
        nsms = self.given.records[self.label].filter(~pl.col("silent"))
        told = nsms.join(self.phenotypes.table.select("phenotype", "cosine"), on="phenotype", how="left")
        found = told.group_by(LOCUS_KEY).agg(
            phenotypes=pl.col("phenotype").n_unique(), cosine=pl.mean("cosine")
        )
        facts = {(row.pop("layer"), row.pop("kind")): row for row in found.iter_rows(named=True)}
        for key, lines in self._lines_of.items():
            facts.setdefault(key, {})["enriched"] = (
                lines.filter("enriched").select("axis", "index").n_unique()
            )
        return facts

    def read(self, name: str) -> bytes:
        """Return a page.

        Raises:
            KeyError: when there is none of the name.
        """
        match name.split("/"):
            case ["overview"]:
                return self.overview()
            case ["phenotypes"]:
                return self.phenotypes.numbers()
            case ["words"]:
                return self.phenotypes.first_words()
            case ["loci", locus]:
                return self.locus(locus)
            case ["texts", piece]:
                return self.phenotypes.texts(_number(piece))
            case ["sites", piece]:
                return self.phenotypes.sites(_number(piece))
            case ["words", piece]:
                return self.phenotypes.words(_number(piece))
            case ["answers", locus]:
                return self.answers(locus)
        raise KeyError(name)

    def overview(self) -> bytes:
        """Return the pyramid of every map (:func:`~mutascope.explorer.pyramid.packed_levels`), packed."""
        arrays = {}
        for name, data in self.maps.items():
            levels = packed_levels(data.status, OVERVIEW_SIDE)
            arrays |= {f"{name}/{level}": counts for level, counts in levels.items()}
        return pack(arrays)

    def locus(self, name: str) -> bytes:
        """Return everything on one locus (:func:`~mutascope.explorer.loci.locus_page`).

        Raises:
            KeyError: when the screen has no such locus.
        """
        data = self.maps[name]
        key = (data.layer, data.kind)
        calls = self._calls_of.get(key, self.calls.clear())
        lines = self._lines_of.get(key, self._lines.clear())
        return locus_page(data, calls, self.mutations, self.measures, lines, self._covariates_of.get(key))

    def answers(self, name: str) -> bytes:
        """Return the probabilities of the choices at a locus (:func:`~mutascope.explorer.answers.answers_page`).

        Raises:
            KeyError: when the assay has no choices, or the locus no outputs.
        """
        outputs, data = self._outputs_of[name], self.maps[name]
        nsms = self.given.records[self.label].filter(~pl.col("silent"), layer=data.layer, kind=data.kind)
        return answers_page(outputs, nsms, data.status.shape[1], self.mutations, self.letters)


def _locus_facts(data: MapData, known: dict[str, Any]) -> LocusIndex:
    rows, cols = data.status.shape
    counts = status_counts(data.status).sum(axis=(0, 1)).tolist()
    return {
        "name": data.name,
        "layer": data.layer,
        "kind": data.kind,
        "rows": rows,
        "cols": cols,
        "transposed": data.transposed,
        "counts": counts,
        "exact": int(data.run.sum()) if data.exact is not None else sum(counts[1:]),
        "phenotypes": known.get("phenotypes", 0),
        "cosine": known.get("cosine"),
        "enriched": known.get("enriched", 0),
    }


def _by_locus(frame: pl.DataFrame) -> dict[LocusKey, pl.DataFrame]:
    parts = frame.partition_by(LOCUS_KEY, as_dict=True)
    return {(int(layer), str(kind)): part for (layer, kind), part in parts.items()}


def _number(text: str) -> int:
    if not text.isdecimal():
        raise KeyError(text)
    return int(text)
