"""What a screen folder holds, for notebooks and analyses; needs no model and no torch."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from mutascope.analysis.rates import nsm_rates
from mutascope.analysis.status import site_status
from mutascope.errors import MutascopeError
from mutascope.figures.maps import map_figure, sheet_figure
from mutascope.figures.palette import PAPER, Palette
from mutascope.genome import Mutant, kind_rank
from mutascope.store import ScreenFolder
from mutascope.tables import rows_to_html


class Results:
    """Read access to a screen, finished or not.

    Args:
        folder: path, fsspec URL or :class:`~mutascope.store.ScreenFolder`.

    Raises:
        MutascopeError: when the folder is not a screen.
    """

    def __init__(self, folder: ScreenFolder | str | os.PathLike[str]) -> None:
        self.folder = folder if isinstance(folder, ScreenFolder) else ScreenFolder(folder)
        self.manifest: dict[str, Any] = self.folder.manifest()

    def records(self) -> pl.DataFrame:
        """Return a row per mutant, in design order (docs/format.md, Records)."""
        return self.folder.records()

    def phenotypes(self) -> pl.DataFrame:
        """Return phenotype, text and continuation of every distinct phenotype."""
        return self.folder.phenotypes()

    def covariates(self) -> pl.DataFrame:
        """Return a row per site of the design: norms of its weights, activations it reads (docs/format.md, 5.5).

        Raises:
            MutascopeError: when the folder holds none, as one that was written without the model at hand.
        """
        return self.folder.covariates()

    def texts(self) -> pl.DataFrame:
        """Return the records with the text of each phenotype beside it."""
        return self.records().join(self.phenotypes().select("phenotype", "text"), on="phenotype", how="left")

    @cached_property
    def loci(self) -> pl.DataFrame:
        """The loci of the design: layer, kind, shape, grid of sites, sites of the region, sampled sites."""
        return pl.DataFrame(
            self.manifest["loci"], schema_overrides={"layer": pl.Int16, "region_sites": pl.Int64}
        )

    def rates(self, *by: str) -> pl.DataFrame:
        """Return NSM rates with intervals, pooled over ``by`` (among layer, kind, mutation).

        An unfinished screen holds the sites that come first, which are no random sample: no interval, no weights.
        """
        records = self.records()
        loci = self.loci if len(records) == self.total else self.loci.with_columns(region_sites=None)
        return nsm_rates(records, loci, by)

    @property
    def done(self) -> int:
        """Number of mutants stored."""
        return len(self.records())

    @property
    def total(self) -> int:
        """Number of mutants of the design."""
        return self.manifest["units"]["mutants"]

    @property
    def finished(self) -> bool:
        """Whether every mutant is stored and the controls were written after the last."""
        return "controls" in self.manifest and self.done == self.total

    @property
    def wild_type(self) -> str:
        """Text of the wild type."""
        return self.manifest["wild_type"][0]["text"]

    def record(self, mutant: Mutant) -> dict[str, Any]:
        """Return the record of one mutant with its text.

        Raises:
            MutascopeError: when the screen does not hold it (yet).
        """
        row = self.texts().filter(
            layer=mutant.layer, kind=mutant.kind, row=mutant.row, col=mutant.col, mutation=mutant.mutation
        )
        if row.is_empty():
            raise MutascopeError(f"{self.folder.path} holds no record of {mutant} (yet)")
        return row.row(0, named=True)

    def map(self, layer: int, kind: str, palette: Palette = PAPER) -> Figure:
        """Return the NSM map of a locus.

        Raises:
            MutascopeError: when the locus was not part of the screen.
        """
        grid = self._grid(layer, kind)
        status = site_status(self.records().filter(layer=layer, kind=kind), *grid)
        return map_figure(status, title=f"{self._title()}, {layer}.{kind}", kind=kind, palette=palette)

    def sheet(self, palette: Palette = PAPER) -> Figure:
        """Return the NSM maps of all loci of the screen on one sheet."""
        groups = {(layer, kind): group for (layer, kind), group in self.records().group_by(["layer", "kind"])}
        empty = self.records().clear()
        maps = []
        for row in sorted(self.loci.to_dicts(), key=lambda row: (row["layer"], kind_rank(row["kind"]))):
            layer, kind = row["layer"], row["kind"]
            status = site_status(groups.get((layer, kind), empty), row["site_rows"], row["site_cols"])
            maps.append((layer, kind, status))
        return sheet_figure(maps, title=self._title(), palette=palette)

    def _grid(self, layer: int, kind: str) -> tuple[int, int]:
        locus = self.loci.filter(layer=layer, kind=kind)
        if locus.is_empty():
            layers, kinds = self.loci["layer"].unique().sort(), self.loci["kind"].unique(maintain_order=True)
            raise MutascopeError(
                f"{self.folder.path} has no locus {layer}.{kind}; it screens layers {layers.to_list()} and kinds"
                f" {kinds.to_list()}"
            )
        return locus["site_rows"][0], locus["site_cols"][0]

    def _title(self) -> str:
        model, assay = self.manifest["model"]["name"], self.manifest["assay"]["name"]
        return f"{os.path.basename(model.rstrip('/'))}, {assay}, tile {self.manifest['tile']}"

    def summary(self) -> dict[str, str]:
        """Return the headline facts in words."""
        records = self.records()
        nsm = int((~records["silent"]).sum()) if len(records) else 0
        facts = {
            "model": f"{self.manifest['model']['name']} ({self.manifest['model']['fingerprint'][:12]})",
            "assay": self.manifest["assay"]["name"],
            "tile": str(self.manifest["tile"]),
            "engine": self.manifest["engine"],
            "mutants": f"{len(records):,} of {self.total:,} stored",
            "NSMs": f"{nsm:,}" + (f" ({100 * nsm / len(records):.1f} %)" if len(records) else ""),
            "phenotypes": f"{records['phenotype'].n_unique():,} distinct",
            "state": self._state(len(records)),
        }
        return facts

    def _state(self, done: int) -> str:
        if done < self.total:
            return "unfinished"
        if "imported" in self.manifest:
            return "imported, without controls"
        return "finished" if "controls" in self.manifest else "unfinished"

    def __repr__(self) -> str:
        return f"Results of {self.folder.path}: " + ", ".join(f"{k} {v}" for k, v in self.summary().items())

    def _repr_html_(self) -> str:
        return rows_to_html(f"Screen {self.folder.path}", self.summary())
