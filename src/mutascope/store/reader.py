"""What a screen folder holds, for notebooks and analyses; needs no model and no torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.core.tables import rows_to_html
from mutascope.store.folder import ScreenFolder
from mutascope.store.integrity import check_coordinates, check_presence

if TYPE_CHECKING:
    from mutascope.analysis.maps import MapData
    from mutascope.model.loading import Model


class ScreenData:
    """Read access to a screen, finished or not, as it was when it was opened.

    Files are read when they are asked for, and once. Pickled, it is a path: whoever unpickles it opens the folder anew.

    Args:
        folder: path, fsspec URL or :class:`~mutascope.store.ScreenFolder`.

    Attributes:
        folder: where the screen is.
        manifest: what it is.

    Raises:
        MutascopeError: when the folder is not a screen.
    """

    def __init__(self, folder: ScreenFolder | str | os.PathLike[str]) -> None:
        self.folder = folder if isinstance(folder, ScreenFolder) else ScreenFolder(folder)
        self.refresh()

    def __reduce__(self) -> tuple[type[ScreenData], tuple[str]]:
        return ScreenData, (self.folder.path,)

    def refresh(self) -> None:
        """Look at the folder again: what was added since it was opened is seen from now on."""
        self.manifest = self.folder.manifest()
        self._units = self.folder.finished_units()
        check_presence(self.folder, self.manifest, self._units)
        self._read: dict[str, pl.DataFrame] = {}
        self._done: int | None = None

    def _once(self, name: str, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        if name not in self._read:
            self._read[name] = read()
        return self._read[name]

    def records(self) -> pl.DataFrame:
        """Return a row per mutant, in design order (docs/format.md, Records)."""
        return self._once("records", self._checked_records)

    def _checked_records(self) -> pl.DataFrame:
        records = self.folder.records(self._units)
        check_coordinates(self.folder, self.manifest, self._units, records)
        return records

    def phenotypes(self) -> pl.DataFrame:
        """Return phenotype, text and continuation of every distinct phenotype."""
        return self._once("phenotypes", lambda: self.folder.phenotypes(self._units))

    def outputs(self) -> pl.DataFrame:
        """Return a row per mutant and prompt (docs/format.md, 5.3); none where the assay has one prompt."""
        return self._once("outputs", lambda: self.folder.outputs(self._units))

    def covariates(self) -> pl.DataFrame:
        """Return a row per site of the design: norms of its weights, activations it reads (docs/format.md, 5.5).

        Raises:
            MutascopeError: when the folder holds none, as one that was written without the model at hand.
        """
        return self._once("covariates", self.folder.covariates)

    def predictions(self, *loci: str) -> pl.DataFrame:
        """Return what was predicted, a row per mutant (docs/format.md, 5.6).

        Args:
            loci: names such as ``15.down``; all that were predicted by default.

        Raises:
            MutascopeError: when nothing was predicted.
        """
        order = [locus.name for locus in self.manifest.loci]
        present = self.folder.predicted_loci()
        names = [name for name in loci or order if name in present]
        if not names:
            raise MutascopeError(f"{self.folder.path} holds no predictions: run `mutascope predict` on it")
        if not loci:
            return self._once("predictions", lambda: pl.concat(map(self.folder.predictions, names)))
        return pl.concat(map(self.folder.predictions, names))

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
        exact = self.records().select(*MUTANT_KEY, pl.col("silent", "first_divergence").name.suffix("_exact"))
        if loci:
            exact = exact.filter(pl.format("{}.{}", *LOCUS_KEY).is_in(loci))
        calls = self.predictions(*loci).join(
            exact, on=MUTANT_KEY, how="full", coalesce=True, maintain_order="left_right"
        )
        run = pl.col("silent_exact").is_not_null()
        silent = pl.coalesce(pl.col("probability") < 0.5, pl.col("margin") >= 0)
        return calls.select(
            *MUTANT_KEY,
            silent=pl.coalesce("silent_exact", silent),
            first_divergence=pl.when(run).then("first_divergence_exact").otherwise("first_divergence"),
            probability="probability",
            source=pl.when(run).then(pl.lit("exact")).otherwise(pl.lit("predicted")),
        )

    def checked_calls(self) -> pl.DataFrame:
        """Return the records that were predicted too, with margin, risk, predicted_divergence and predicted_silence."""
        told_twice = {"first_divergence": "predicted_divergence", "silence": "predicted_silence"}
        known = self.predictions().drop("probability").rename(told_twice)
        return self.records().join(known, on=MUTANT_KEY, how="inner", maintain_order="left")

    def texts(self) -> pl.DataFrame:
        """Return the records with the text of each phenotype beside it."""
        return self.records().join(self.phenotypes().select("phenotype", "text"), on="phenotype", how="left")

    @property
    def loci(self) -> pl.DataFrame:
        """The loci of the design: layer, kind, shape, grid of sites, sites of the region, sampled sites."""
        rows = [locus.to_dict() for locus in self.manifest.loci]
        types = {"layer": pl.Int16, "region_sites": pl.Int64}
        return self._once("loci", lambda: pl.DataFrame(rows, schema_overrides=types))

    def rates(self, *by: str) -> pl.DataFrame:
        """Return NSM rates with intervals, pooled over ``by`` (among layer, kind, mutation).

        An unfinished screen holds the sites that come first, which are no random sample: no interval, no weights. Of an
        adaptive screen, only the random sample counts.
        """
        from mutascope.analysis.rates import nsm_rates

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
        if self._done is None:
            known = self._read.get("records")
            self._done = self.folder.count_records(self._units) if known is None else len(known)
        return self._done

    @property
    def total(self) -> int:
        """Number of mutants of the design."""
        return self.manifest.units.mutants

    @property
    def finished(self) -> bool:
        """Whether every mutant is stored and the controls were written after the last; an import has none."""
        imported = self.manifest.imported
        closed = self.manifest.vouched if imported is None else imported.finished
        return closed and self.done == self.total

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
        row = self.records().filter(**asdict(mutant))
        if row.is_empty():
            raise MutascopeError(f"{self.folder.path} holds no record of {mutant} (yet)")
        text = self.phenotypes().select("phenotype", "text")
        return row.join(text, on="phenotype", how="left").row(0, named=True)

    def outputs_of(self, mutant: Mutant) -> pl.DataFrame:
        """Return what a mutant put out on every prompt: the columns of outputs/, text and continuation."""
        rows = self.outputs().filter(**asdict(mutant)).sort("prompt")
        return rows.join(self.phenotypes(), on="phenotype", how="left", maintain_order="left")

    def map(self, layer: int, kind: str, *, tokens: bool = False, silence: bool = False) -> MapData:
        """Return the NSM map of a locus, for :func:`mutascope.draw_map`; a notebook shows it as the atlas does.

        Args:
            layer: of the locus.
            kind: of the locus.
            tokens: colour sites not by status, but by the token of the wild type's text that their NSMs leave at first.
            silence: colour sites by the chance over the noise that they are silent, measured or predicted.

        Raises:
            MutascopeError: when the locus was not part of the screen, or nothing is known of what colours it.
        """
        locus, name = self._locus(layer, kind), f"{layer}.{kind}"
        records = self.records().filter(layer=layer, kind=kind)
        calls = self.calls(name) if name in self.folder.predicted_loci() else records
        (found,) = self._coloured(calls, locus, f"{self.title}, {name}", tokens=tokens, silence=silence)
        return replace(found, shown=self._shown)

    def _shown(self, data: MapData) -> dict[str, Any]:
        """What a notebook shows of a map: its view in the atlas, and a picture."""
        from mutascope.explorer.notebook import mime_bundle

        return mime_bundle(self, data)

    def maps(self, *, tokens: bool = False, silence: bool = False) -> list[MapData]:
        """Return the NSM maps of all loci of the screen, for :func:`mutascope.draw_sheet`.

        Args:
            tokens, silence: colour sites by first divergence or by chance, as in :meth:`map`.
        """
        calls = self.calls() if self.predicted else self.records()
        return self._coloured(calls, self.loci, self.title, tokens=tokens, silence=silence)

    def _coloured(
        self, calls: pl.DataFrame, loci: pl.DataFrame, title: str, *, tokens: bool, silence: bool
    ) -> list[MapData]:
        from mutascope.analysis.maps import by_silence, by_token, locus_maps

        if tokens and silence:
            raise MutascopeError("a map is coloured by token or by silence, not by both")
        if silence:
            title += ": predicted where not measured" if self.predicted else ""
            found = locus_maps(calls.drop("source", strict=False), loci, self.manifest.tile, title)
            return by_silence(list(found.values()), self._chances())
        found = list(locus_maps(calls, loci, self.manifest.tile, title).values())
        return by_token(found, calls, self._pieces()) if tokens else found

    def _chances(self) -> pl.DataFrame:
        """Return the chance of silence of every mutant, the mean over seeds where there are several.

        Raises:
            MutascopeError: when none is known.
        """
        records = self.records()
        column = next((name for name in ("mean_silence", "silence") if name in records.columns), None)
        known = [] if column is None else [records.select(*MUTANT_KEY, silence=column)]
        if self.predicted:
            known.append(self.predictions().select(*MUTANT_KEY, "silence"))
        chances = (
            pl.concat(part.cast({"silence": pl.Float64}).drop_nulls() for part in known) if known else None
        )
        if chances is None or chances.is_empty():
            raise MutascopeError(
                f"{self.folder.path} holds no chance of silence: screen a sampled text with --measure, or run"
                " mutascope predict on it"
            )
        return chances.unique(MUTANT_KEY, keep="first")

    def _pieces(self) -> list[str]:
        """Return the texts of the tokens of the wild type's text, as far as they are known.

        Raises:
            MutascopeError: when it is no text assay.
        """
        if self.manifest.assay.type != "text":
            raise MutascopeError(f"{self.folder.path} is no text assay: its NSMs leave no text at a token")
        return self.manifest.wild_type[0].pieces or []

    def _locus(self, layer: int, kind: str) -> pl.DataFrame:
        locus = self.loci.filter(layer=layer, kind=kind)
        if locus.is_empty():
            layers, kinds = self.loci["layer"].unique().sort(), self.loci["kind"].unique(maintain_order=True)
            raise MutascopeError(
                f"{self.folder.path} has no locus {layer}.{kind}; it screens layers {layers.to_list()} and kinds"
                f" {kinds.to_list()}"
            )
        return locus

    def load_model(self, **loading: Any) -> Model:
        """Load the model that was screened (:func:`mutascope.model.reopening.load_screened`)."""
        from mutascope.model.reopening import load_screened

        return load_screened(self.manifest, self.folder.path, **loading)

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
            "model": f"{self.manifest.model.told} ({self.manifest.model.fingerprint[:12]})",
            "assay": self.manifest.assay.name,
            "tile": str(self.manifest.tile),
            "engine": self.manifest.engine,
            "mutants": f"{len(records):,} of {self.total:,} stored{_apart(self.folder.parts.count())}",
            "NSMs": f"{nsm:,}" + (f" ({100 * nsm / len(records):.1f} %)" if len(records) else ""),
            "phenotypes": f"{records['phenotype'].n_unique():,} distinct",
            "state": self._state(len(records)),
        }
        if self.manifest.coverage:
            facts["weights"] = self.manifest.coverage
        if self.predicted:
            facts["predicted"] = f"{len(self.folder.predicted_loci()):,} loci"
        return facts

    def _state(self, done: int) -> str:
        if done < self.total:
            return "unfinished"
        if self.manifest.imported:
            return "imported, without controls" if self.finished else "imported, of an unfinished screen"
        return "finished" if self.manifest.vouched else "unfinished"

    def __repr__(self) -> str:
        return f"Screen in {self.folder.path}: " + ", ".join(f"{k} {v}" for k, v in self.summary().items())

    def _repr_html_(self) -> str:
        return rows_to_html(f"Screen {self.folder.path}", self.summary())


def _apart(mutants: int) -> str:
    """Return in words what is stored of units that are not finished."""
    return f", and {mutants:,} of units that were interrupted" if mutants else ""


def open(folder: str | os.PathLike[str]) -> ScreenData:
    """Open a screen to read it.

    Args:
        folder: path or fsspec URL.

    Raises:
        MutascopeError: when the folder is not a screen.
    """
    return ScreenData(folder)
