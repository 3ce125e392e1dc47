"""What a screen folder holds, for notebooks and analyses; needs no model and no torch."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from mutascope.analysis.rates import nsm_rates
from mutascope.analysis.status import exact_loci, exact_sites, locus_statuses, site_status
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant
from mutascope.core.tables import rows_to_html
from mutascope.figures.maps import map_figure, sheet_figure
from mutascope.figures.palette import PAPER, Palette
from mutascope.store import ScreenFolder


class Results:
    """Read access to a screen, finished or not.

    Args:
        folder: path, fsspec URL or :class:`~mutascope.store.ScreenFolder`.

    Raises:
        MutascopeError: when the folder is not a screen.
    """

    def __init__(self, folder: ScreenFolder | str | os.PathLike[str]) -> None:
        self.folder = folder if isinstance(folder, ScreenFolder) else ScreenFolder(folder)
        self.manifest = self.folder.manifest()

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

    def predictions(self, *loci: str) -> pl.DataFrame:
        """Return what was predicted, a row per mutant (docs/format.md, 5.6).

        Args:
            loci: names such as ``15.down``; all that were predicted by default.

        Raises:
            MutascopeError: when nothing was predicted.
        """
        present = self.folder.predicted_loci()
        order = [f"{row['layer']}.{row['kind']}" for row in self.loci.iter_rows(named=True)]
        names = [name for name in loci or order if name in present]
        if not names:
            raise MutascopeError(f"{self.folder.path} holds no predictions: run `mutascope predict` on it")
        return pl.concat([self.folder.predictions(name) for name in names])

    @property
    def predicted(self) -> bool:
        """Whether the folder holds predictions."""
        return bool(self.folder.predicted_loci())

    def calls(self, *loci: str) -> pl.DataFrame:
        """Return a call of every mutant that was run or predicted: the exact one where it was run.

        Args:
            loci: as in :meth:`predictions`.

        Returns:
            Columns layer, kind, row, col, mutation, silent, first_divergence, probability (of an NSM, predicted) and
            source (``exact`` or ``predicted``). A predicted mutant is silent when its probability is below 0.5; without
            a calibration, when its margin is not negative.
        """
        keys = ["layer", "kind", "row", "col", "mutation"]
        exact = self.records().select(*keys, pl.col("silent", "first_divergence").name.suffix("_exact"))
        if loci:
            exact = exact.filter(pl.format("{}.{}", "layer", "kind").is_in(loci))
        calls = self.predictions(*loci).join(
            exact, on=keys, how="full", coalesce=True, maintain_order="left_right"
        )
        run = pl.col("silent_exact").is_not_null()
        silent = pl.coalesce(pl.col("probability") < 0.5, pl.col("margin") >= 0)
        return calls.select(
            *keys,
            silent=pl.coalesce("silent_exact", silent),
            first_divergence=pl.when(run).then("first_divergence_exact").otherwise("first_divergence"),
            probability="probability",
            source=pl.when(run).then(pl.lit("exact")).otherwise(pl.lit("predicted")),
        )

    def checked_calls(self) -> pl.DataFrame:
        """Return the records that were predicted too, with margin, risk and predicted first divergence beside them."""
        keys = ["layer", "kind", "row", "col", "mutation"]
        known = self.predictions().drop("probability").rename({"first_divergence": "predicted_divergence"})
        return self.records().join(known, on=keys, how="inner", maintain_order="left")

    def texts(self) -> pl.DataFrame:
        """Return the records with the text of each phenotype beside it."""
        return self.records().join(self.phenotypes().select("phenotype", "text"), on="phenotype", how="left")

    @cached_property
    def loci(self) -> pl.DataFrame:
        """The loci of the design: layer, kind, shape, grid of sites, sites of the region, sampled sites."""
        return pl.DataFrame(
            [locus.to_dict() for locus in self.manifest.loci],
            schema_overrides={"layer": pl.Int16, "region_sites": pl.Int64},
        )

    def rates(self, *by: str) -> pl.DataFrame:
        """Return NSM rates with intervals, pooled over ``by`` (among layer, kind, mutation).

        An unfinished screen holds the sites that come first, which are no random sample: no interval, no weights. Of an
        adaptive screen, only the random sample counts.
        """
        sample = self.sample()
        if sample is None:
            return nsm_rates(self.records(), self.loci.with_columns(region_sites=None), by)
        return nsm_rates(sample, self.loci, by)

    def sample(self) -> pl.DataFrame | None:
        """Return the records of the sites that the design drew at random (or all), None as long as some are missing.

        An adaptive design begins with them; what follows was chosen by its prediction (docs/format.md, 4.3).
        """
        records, design = self.records(), self.manifest.design
        if design.type != "adaptive":
            return records if len(records) == self.total else None
        drawn = int(self.loci["sampled_sites"].sum()) * len(design.mutations)
        return records.head(drawn) if drawn and len(records) >= drawn else None

    @property
    def done(self) -> int:
        """Number of mutants stored."""
        return self.folder.count_records()

    @property
    def total(self) -> int:
        """Number of mutants of the design."""
        return self.manifest.units.mutants

    @property
    def finished(self) -> bool:
        """Whether every mutant is stored and the controls were written after the last."""
        return self.manifest.controls is not None and self.done == self.total

    @property
    def wild_type(self) -> str:
        """Text of the wild type; of a choice assay its answers, one per line."""
        texts = [output.text for output in self.manifest.wild_type]
        return "\n".join(texts) if self.manifest.assay.type == "choice" else texts[0]

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

    def outputs_of(self, mutant: Mutant) -> pl.DataFrame:
        """Return what a mutant put out on every prompt: the columns of outputs/, text and continuation."""
        coordinates = {name: getattr(mutant, name) for name in ("layer", "kind", "row", "col", "mutation")}
        rows = self.folder.outputs().filter(**coordinates).sort("prompt")
        return rows.join(self.phenotypes(), on="phenotype", how="left", maintain_order="left")

    def map(self, layer: int, kind: str, palette: Palette = PAPER) -> Figure:
        """Return the NSM map of a locus.

        Raises:
            MutascopeError: when the locus was not part of the screen.
        """
        grid = self._grid(layer, kind)
        title, name = f"{self.title}, {layer}.{kind}", f"{layer}.{kind}"
        if name not in self.folder.predicted_loci():
            status = site_status(self.records().filter(layer=layer, kind=kind), *grid)
            return map_figure(status, title=title, kind=kind, palette=palette)
        calls = self.calls(name)
        status, exact = site_status(calls, *grid), exact_sites(calls, *grid)
        return map_figure(status, title=predicted_title(title), kind=kind, palette=palette, exact=exact)

    def sheet(self, palette: Palette = PAPER) -> Figure:
        """Return the NSM maps of all loci of the screen on one sheet."""
        calls = self.calls() if self.predicted else self.records()
        statuses = locus_statuses(calls, self.loci)
        maps = [(layer, kind, status) for (layer, kind), status in statuses.items()]
        if not self.predicted:
            return sheet_figure(maps, title=self.title, palette=palette)
        exact = exact_loci(calls, self.loci)
        return sheet_figure(maps, title=predicted_title(self.title), palette=palette, exact=exact)

    def _grid(self, layer: int, kind: str) -> tuple[int, int]:
        locus = self.loci.filter(layer=layer, kind=kind)
        if locus.is_empty():
            layers, kinds = self.loci["layer"].unique().sort(), self.loci["kind"].unique(maintain_order=True)
            raise MutascopeError(
                f"{self.folder.path} has no locus {layer}.{kind}; it screens layers {layers.to_list()} and kinds"
                f" {kinds.to_list()}"
            )
        return locus["site_rows"][0], locus["site_cols"][0]

    @property
    def title(self) -> str:
        """Model, assay and tile, for the heading of a figure."""
        model, assay = self.manifest.model.name, self.manifest.assay.name
        return f"{os.path.basename(model.rstrip('/'))}, {assay}, tile {self.manifest.tile}"

    def summary(self) -> dict[str, str]:
        """Return the headline facts in words."""
        records = self.records()
        nsm = int((~records["silent"]).sum()) if len(records) else 0
        facts = {
            "model": f"{self.manifest.model.name} ({self.manifest.model.fingerprint[:12]})",
            "assay": self.manifest.assay.name,
            "tile": str(self.manifest.tile),
            "engine": self.manifest.engine,
            "mutants": f"{len(records):,} of {self.total:,} stored{_apart(self.folder.count_parts())}",
            "NSMs": f"{nsm:,}" + (f" ({100 * nsm / len(records):.1f} %)" if len(records) else ""),
            "phenotypes": f"{records['phenotype'].n_unique():,} distinct",
            "state": self._state(len(records)),
        }
        if self.predicted:
            facts["predicted"] = f"{len(self.folder.predicted_loci()):,} loci"
        return facts

    def _state(self, done: int) -> str:
        if done < self.total:
            return "unfinished"
        if self.manifest.imported:
            return "imported, without controls"
        return "finished" if self.manifest.controls else "unfinished"

    def __repr__(self) -> str:
        return f"Results of {self.folder.path}: " + ", ".join(f"{k} {v}" for k, v in self.summary().items())

    def _repr_html_(self) -> str:
        return rows_to_html(f"Screen {self.folder.path}", self.summary())


def _apart(mutants: int) -> str:
    """Return in words what is stored of units that are not finished."""
    return f", and {mutants:,} of units that were interrupted" if mutants else ""


def predicted_title(title: str) -> str:
    """Return the title of maps that are predicted in part or whole."""
    return f"{title}: PREDICTED where not marked as run"
