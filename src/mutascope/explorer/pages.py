"""One screen as pages of data: overview, loci, texts and sites of the phenotypes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from mutascope.analysis.copa import rearrange, sign_map
from mutascope.analysis.diff import word_diff
from mutascope.analysis.enrichment import AXES, nsm_enrichment
from mutascope.analysis.maps import LocusKey, MapData
from mutascope.core.errors import MutascopeError
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY, RECORD_SCHEMA
from mutascope.explorer.packing import pack
from mutascope.explorer.pyramid import level_that_fits, status_counts
from mutascope.findings import ScreenSet

OVERVIEW_SIDE = 256
"""Cells of a locus in the overview, at most, along an axis."""
PIECE = 256
"""Phenotypes whose texts, or sites, are one page."""
_NONE = np.uint32(2**32 - 1)
_SILENT, _NSM, _PREDICTED = 1, 2, 4
"""State of a mutant: one of the first two, and the third where it was not run."""


class ScreenPages:
    """The pages of one screen of a set.

    Args:
        given: the set.
        label: of the screen.
    """

    def __init__(self, given: ScreenSet, label: str) -> None:
        self.given, self.label = given, label
        self.results = given.results[label]
        self.manifest = self.results.manifest
        self.units = self.results.folder.finished_units()
        self.maps = {f"{layer}.{kind}": data for (layer, kind), data in given.locus_maps(label).items()}

    # what is on several pages

    @cached_property
    def calls(self) -> dict[LocusKey, pl.DataFrame]:
        """What was run or predicted, by locus."""
        parts = self.given.maps[self.label].partition_by(LOCUS_KEY, as_dict=True)
        return {(int(layer), str(kind)): part for (layer, kind), part in parts.items()}

    @cached_property
    def phenotypes(self) -> pl.DataFrame:
        """Phenotypes of the NSMs, most frequent first: phenotype, index, mutants, loci, continuation; cosine, edit.

        The last two are null where the assay is no text.
        """
        nsms = self.given.records[self.label].filter(~pl.col("silent"))
        counted = nsms.group_by("phenotype", maintain_order=True).agg(
            mutants=pl.len(), loci=pl.struct(LOCUS_KEY).n_unique()
        )
        ordered = counted.sort("mutants", descending=True, maintain_order=True).with_row_index("index")
        texts = self.given.phenotypes[self.label].select("phenotype", "text", "continuation")
        known = ordered.join(texts, on="phenotype", how="left", maintain_order="left")
        severity = self.given.severity.get(self.label)
        if severity is None:
            return known.with_columns(cosine=pl.lit(None, pl.Float64), edit=pl.lit(None, pl.Float64))
        return known.join(
            severity.select("phenotype", "cosine", "edit"),
            on="phenotype",
            how="left",
            maintain_order="left",
        )

    @cached_property
    def lines(self) -> dict[tuple[int, str, str], pl.DataFrame]:
        """Enrichment of rows and columns, by layer, kind and axis."""
        parts = nsm_enrichment(self.given.maps[self.label]).partition_by(*LOCUS_KEY, "axis", as_dict=True)
        return {(int(layer), str(kind), str(axis)): part for (layer, kind, axis), part in parts.items()}

    @property
    def wild_type(self) -> str:
        """The text that a mutant's is compared with."""
        outputs = self.manifest.wild_type
        return self.results.wild_type if len(outputs) > 1 else outputs[0].continuation

    @property
    def measures(self) -> list[str]:
        """Numbers that the records have beyond those that all have."""
        records = self.given.records[self.label]
        return [
            name for name, kind in records.schema.items() if name not in RECORD_SCHEMA and kind.is_numeric()
        ]

    @property
    def mutations(self) -> list[str]:
        """The mutations of the screen."""
        return self.given.maps[self.label]["mutation"].unique(maintain_order=True).to_list()

    @property
    def pieces(self) -> int:
        """Number of pages of texts, and of sites."""
        return -(-len(self.phenotypes) // PIECE)

    # pages

    def index(self) -> dict[str, Any]:
        """Return what the screen is, and every locus with its counts."""
        return {
            "label": self.label,
            "title": self.results.title,
            "folder": self.results.folder.path,
            "model": self.manifest.model.name,
            "assay": self.manifest.assay.name,
            "type": self.manifest.assay.type,
            "tile": self.manifest.tile,
            "predicted": self.results.predicted,
            "done": self.results.done,
            "total": self.results.total,
            "finished": self.results.finished or bool(self.manifest.imported),
            "mutations": self.mutations,
            "measures": self.measures,
            "max_length": self.manifest.assay.stated.get("max_length"),
            "prompt": self.manifest.prompts[0].text if self.manifest.prompts else "",
            "keys": [prompt.key for prompt in self.manifest.prompts if prompt.key is not None],
            "wild_type": self.wild_type,
            "phenotypes": len(self.phenotypes),
            "piece": PIECE,
            "loci": [self._locus_facts(data) for data in self.maps.values()],
        }

    def _locus_facts(self, data: MapData) -> dict[str, Any]:
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
            **self._outputs_of[data.layer, data.kind],
        }

    @cached_property
    def _outputs_of(self) -> dict[LocusKey, dict[str, Any]]:
        """Distinct phenotypes of the NSMs and their mean cosine, by locus."""
        nsms = self.given.records[self.label].filter(~pl.col("silent"))
        told = nsms.join(self.phenotypes.select("phenotype", "cosine"), on="phenotype", how="left")
        found = told.group_by(LOCUS_KEY).agg(
            phenotypes=pl.col("phenotype").n_unique(), cosine=pl.mean("cosine")
        )
        known = {(row["layer"], row["kind"]): row for row in found.iter_rows(named=True)}
        nothing = {"phenotypes": 0, "cosine": None}
        return {
            (data.layer, data.kind): {
                name: known.get((data.layer, data.kind), nothing)[name] for name in nothing
            }
            for data in self.maps.values()
        }

    def overview(self) -> bytes:
        """Return the finest level of every map that fits, packed.

        ``<locus>`` is uint8 [rows, cols], the statuses, where the sites themselves fit, and otherwise their counts
        [rows, cols, statuses].
        """
        return pack({name: _fitting(data.status) for name, data in self.maps.items()})

    def locus(self, name: str) -> bytes:
        """Return everything on one locus, packed.

        Per mutation ``<mutation>.site`` (row times columns plus column; absent where every site is there, in order),
        ``.state``, ``.divergence`` (-1: none), ``.phenotype`` (place in the table; 2^32 - 1: none), ``.chance`` (of an
        NSM, times 255, where predicted and calibrated) and the measures; ``row.`` and ``col.`` ``order`` (of COPA),
        ``q``, and the covariates of columns. What would hold nothing is absent.

        Raises:
            KeyError: when the screen has no such locus.
        """
        data = self.maps[name]
        calls = self.calls.get((data.layer, data.kind), self.given.maps[self.label].clear())
        calls = calls.join(
            self.phenotypes.select("phenotype", "index"), on="phenotype", how="left", maintain_order="left"
        )
        arrays = {}
        for mutation in self.mutations:
            told = self._mutants(calls.filter(mutation=mutation), data)
            arrays |= {f"{mutation}.{column}": values for column, values in told.items()}
        for axis in AXES:
            arrays |= self._line_arrays(data, axis)
        return pack(arrays | self._covariates(data), rows=data.status.shape[0], cols=data.status.shape[1])

    def _mutants(self, calls: pl.DataFrame, data: MapData) -> dict[str, np.ndarray]:
        """The arrays of one mutation at a locus."""
        rows, cols = data.status.shape
        calls = calls.sort("row", "col")
        site = calls["row"].to_numpy().astype(np.uint32) * cols + calls["col"].to_numpy().astype(np.uint32)
        state = np.where(calls["silent"].to_numpy(), _SILENT, _NSM).astype(np.uint8)
        arrays = {} if len(site) == rows * cols else {"site": site}
        if "source" in calls.columns:
            state = state + _PREDICTED * (calls["source"] == "predicted").to_numpy().astype(np.uint8)
            if calls["probability"].count():  # a prediction that was never calibrated has none
                chance = calls["probability"].fill_null(0).to_numpy()
                arrays["chance"] = np.round(chance * 255).astype(np.uint8)
        arrays["state"] = state
        arrays["divergence"] = calls["first_divergence"].fill_null(-1).to_numpy().astype(np.int16)
        index = calls["index"].fill_null(_NONE).to_numpy().astype(np.uint32)
        if (index != _NONE).any():
            arrays["phenotype"] = index
        for name in self.measures:
            if name in calls.columns:
                values = calls[name].cast(pl.Float32).fill_null(float("nan"))
                arrays[name] = values.to_numpy()
        return arrays

    def _line_arrays(self, data: MapData, axis: str) -> dict[str, np.ndarray]:
        length = data.status.shape[AXES.index(axis)]
        arrays: dict[str, np.ndarray] = {
            f"{axis}.order": rearrange(sign_map(data.status), axis).order.astype(np.uint32)
        }
        tested = self.lines.get((data.layer, data.kind, axis))
        if tested is not None:
            q = np.ones(length, dtype=np.float32)
            q[tested["index"].to_numpy()] = tested["q"].to_numpy()
            arrays[f"{axis}.q"] = q
        return arrays

    def _covariates(self, data: MapData) -> dict[str, np.ndarray]:
        """Norm of what the columns read, and where an activation is massive; nothing where it is not known."""
        known = self.given.covariates.get(self.label)
        if known is None:
            return {}
        here = (
            known.filter(layer=data.layer, kind=data.kind)
            .group_by("col")
            .agg(pl.first("input_norm"), pl.col("massive").any())
        )
        norm = np.zeros(data.status.shape[1], dtype=np.float32)
        massive = np.zeros(data.status.shape[1], dtype=np.uint8)
        norm[here["col"].to_numpy()] = here["input_norm"].fill_null(0).to_numpy()
        massive[here["col"].to_numpy()] = here["massive"].fill_null(False).to_numpy()
        return {"col.input_norm": norm, "col.massive": massive}

    def phenotype_table(self) -> bytes:
        """Return the phenotypes, packed: ``mutants``, ``loci``, and ``cosine`` and ``edit`` of a text assay."""
        table = self.phenotypes
        arrays = {name: table[name].to_numpy().astype(np.uint32) for name in ("mutants", "loci")}
        for name in ("cosine", "edit"):
            if table[name].count():
                arrays[name] = table[name].cast(pl.Float32).fill_null(float("nan")).to_numpy()
        return pack(arrays)

    def texts(self, piece: int) -> list[dict[str, Any]]:
        """Return a piece of the phenotypes: ``id``, and ``steps`` from the wild type (:func:`delta`).

        The steps of an output that was not finite are null.
        """
        table = self._piece(piece)
        several = len(self.manifest.wild_type) > 1
        said = table["text" if several else "continuation"]
        return [
            {"id": name, "steps": None if text is None else delta(self.wild_type, text)}
            for name, text in zip(table["phenotype"], said, strict=True)
        ]

    def sites(self, piece: int) -> bytes:
        """Return the sites of a piece of the phenotypes, packed.

        Mutants of phenotype number i of the piece are ``start[i]`` to ``start[i + 1]`` of ``locus`` (place among the
        loci of the index), ``site`` and ``mutation`` (place among the mutations of the index).
        """
        table = self._piece(piece)
        records = self.given.records[self.label].filter(~pl.col("silent"))
        mutants = records.select(*MUTANT_KEY, "phenotype").join(
            table.select("phenotype", "index"), on="phenotype", how="inner", maintain_order="left"
        )
        mutants = mutants.sort("index", maintain_order=True)
        places = {name: (place, data.status.shape[1]) for place, (name, data) in enumerate(self.maps.items())}
        names = mutants.select(name=pl.format("{}.{}", *LOCUS_KEY))["name"].to_list()
        cols = np.array([places[name][1] for name in names], dtype=np.uint32)
        site = mutants["row"].to_numpy().astype(np.uint32) * cols + mutants["col"].to_numpy()
        start = np.concatenate([[0], np.cumsum(table["mutants"].to_numpy())])
        mutation = mutants["mutation"].replace_strict({m: i for i, m in enumerate(self.mutations)})
        return pack(
            {
                "start": start.astype(np.uint32),
                "locus": np.array([places[name][0] for name in names], dtype=np.uint16),
                "site": site.astype(np.uint32),
                "mutation": mutation.to_numpy().astype(np.uint8),
            }
        )

    def search(self, words: str) -> list[int]:
        """Return the places in the table of the phenotypes whose text holds the words, in lower or upper case."""
        several = len(self.manifest.wild_type) > 1
        said = pl.col("text" if several else "continuation")
        found = self.phenotypes.filter(
            said.str.to_lowercase().str.contains(words.lower(), literal=True).fill_null(False)
        )
        return found["index"].to_list()

    def _piece(self, piece: int) -> pl.DataFrame:
        if not 0 <= piece < self.pieces:
            raise KeyError(piece)
        return self.phenotypes.slice(piece * PIECE, PIECE)


def _fitting(status: np.ndarray) -> np.ndarray:
    level, counts = level_that_fits(status, OVERVIEW_SIDE)
    return status.astype(np.uint8) if level == 0 else counts.astype(np.min_scalar_type(counts.max()))


def delta(wild: str, text: str) -> list[int | str]:
    """Return the word diff from ``wild`` to ``text`` without repeating ``wild``.

    A positive number is so many characters (code points) of ``wild`` that stay, a negative one so many that go, a
    string is what comes.
    """
    steps = {"equal": lambda part: len(part), "delete": lambda part: -len(part), "insert": lambda part: part}
    return [steps[op](part) for op, part in word_diff(wild, text)]


def check_maps(given: ScreenSet) -> list[str]:
    """Return the labels of the screens that are maps.

    Raises:
        MutascopeError: when all are panels, which run chosen mutants alone.
    """
    labels = [label for label in given.labels if label not in given.panels]
    if not labels:
        raise MutascopeError(
            "these are panels, which are no maps: read their outputs with"
            " `mutascope show FOLDER MUTANT --page FILE.html`"
        )
    return labels
