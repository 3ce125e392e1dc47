"""Several screens side by side, each under a label and read once: what tables and figures are made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, wraps
from itertools import combinations
from typing import Any, TypeVar

import polars as pl

from mutascope.analysis.maps import LocusKey, MapData, locus_maps
from mutascope.analysis.severity import severity_frame, with_severity
from mutascope.analysis.sites import MAP_MUTATIONS, check_equal_shapes
from mutascope.core.errors import MutascopeError, NotHere
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.findings.labels import labelled, no_column, titled
from mutascope.store.reader import ScreenData

Made = TypeVar("Made")


class ScreenSet:
    """Read access to several screens.

    Null screens (``screen --null``) stand beside the screen that they are the null of, and nowhere else; one without it
    is a screen as any other.

    Args:
        paths: screen folders, in the order in which tables and figures shall show them. A screen is called by the name
            of its folder, or by NAME where ``NAME=path`` is given; by its whole path where another has that name too.

    Attributes:
        nulls: null screens by the label of the screen that they are the null of.

    Raises:
        MutascopeError: when there is none, one is given twice, is no screen, or holds neither record nor prediction.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        every = labelled(paths)
        homes = {label: home for label in every if (home := _null_of(label, every))}
        self.results = {label: results for label, results in every.items() if label not in homes}
        self.nulls: dict[str, list[ScreenData]] = {}
        for label, home in homes.items():
            self.nulls.setdefault(home, []).append(every[label])
        self.records: dict[str, pl.DataFrame] = {}
        self._known: dict[object, Any] = {}
        for label, results in self.results.items():
            self.records[label] = results.records()
            if self.records[label].is_empty() and not results.predicted:
                raise MutascopeError(
                    f"{results.folder.path} holds no record yet: run `mutascope screen` on it"
                )

    def once(self, name: object, make: Callable[[], Made]) -> Made:
        """Return what ``make`` returned when it was first asked for under this name."""
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    @property
    def labels(self) -> list[str]:
        """Labels of the screens, in order."""
        return list(self.results)

    @cached_property
    def predicted(self) -> list[str]:
        """Labels of the screens that were predicted."""
        return [label for label, results in self.results.items() if results.predicted]

    @cached_property
    def maps(self) -> dict[str, pl.DataFrame]:
        """Records of the screens that are maps: not those of panels, which run chosen NSMs alone.

        Of a predicted screen these are all its calls, exact or predicted (column source, no phenotype where predicted).

        Raises:
            NotHere: when all are panels.
        """
        chosen = {
            label: self.once(f"calls of {label}", lambda label=label: self._calls(label))
            if label in self.predicted
            else records
            for label, records in self.records.items()
            if label not in self.panels
        }
        if not chosen:
            raise NotHere("it takes a screen that is not a writer panel")
        return chosen

    def _calls(self, label: str) -> pl.DataFrame:
        known = self.records[label].select(*MUTANT_KEY, "phenotype")
        return self.results[label].calls().join(known, on=MUTANT_KEY, how="left", maintain_order="left")

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """Labels of every two maps that can be compared site by site: with a locus in common, of equal shapes."""
        return [pair for pair in combinations(self.maps, 2) if self._hindrance(*pair) is None]

    @cached_property
    def groups(self) -> list[list[str]]:
        """Labels of the maps in groups within which every two can be compared, each map in one."""
        groups: list[list[str]] = []
        for label in self.maps:
            home = next((g for g in groups if all((other, label) in self.pairs for other in g)), None)
            if home is None:
                groups.append([label])
            else:
                home.append(label)
        return groups

    @property
    def text_groups(self) -> list[list[str]]:
        """Text assays of a model that can be compared site by site, two or more."""
        groups = [[label for label in group if label in self.text] for group in self.groups]
        return [group for group in groups if len(group) > 1]

    @property
    def notes(self) -> list[str]:
        """A sentence for every group of maps that cannot be compared with the first one: why."""
        if not any(label not in self.panels for label in self.labels):
            return []
        first, *others = self.groups
        return [
            f"{', '.join(group)} and {', '.join(first)} are not compared site by site: {reason}"
            for group in others
            for reason in [self._hindrance(first[0], group[0])]
            if reason is not None
        ]

    def _hindrance(self, first: str, second: str) -> str | None:
        """Why two maps cannot be compared site by site, None if they can."""
        if self.model(first) != self.model(second):
            return f"{first} and {second} are screens of different models"
        a, b = self.loci[first], self.loci[second]
        if a.join(b, on=LOCUS_KEY, how="semi").is_empty():
            return f"{first} and {second} have no locus in common"
        try:
            check_equal_shapes({first: a, second: b})
        except NotHere as reason:
            return str(reason)
        return None

    def mapped(self, label: str) -> pl.DataFrame:
        """Return the ``max`` and ``min`` records (or calls) of a map; all of them where a screen has neither.

        They are not kept: a complete screen of a large model has millions.
        """
        records = self.maps[label]
        chosen = records.filter(pl.col("mutation").is_in(MAP_MUTATIONS))
        return chosen if len(chosen) else records

    @cached_property
    def loci(self) -> dict[str, pl.DataFrame]:
        """Loci by label. Unfinished and predicted screens are no random samples: their ``region_sites`` are null."""
        unknown = pl.lit(None, pl.Int64)
        return {
            label: results.loci
            if len(self.records[label]) == results.total and not results.predicted
            else results.loci.with_columns(region_sites=unknown)
            for label, results in self.results.items()
        }

    @property
    def text(self) -> list[str]:
        """Labels of the text assays."""
        return self._of_type("text")

    @property
    def choice(self) -> list[str]:
        """Labels of the choice assays with scores, but for those that pool subjects: thresholds are of a short test.

        One that was predicted without an exact call has no score.
        """
        return [label for label in self._scored if not self.results[label].manifest.pooled]

    @property
    def pooled(self) -> list[str]:
        """Labels of the choice assays that pool the questions of several subjects, with scores."""
        return [label for label in self._scored if self.results[label].manifest.pooled]

    @property
    def _scored(self) -> list[str]:
        return [label for label in self._of_type("choice") if "score" in self.records[label].columns]

    @property
    def panels(self) -> list[str]:
        """Labels of the writer panels."""
        return self._of_type("panel")

    def model(self, label: str) -> str:
        """Return what tells the model of a screen from others: its fingerprint, or its name where none is known."""
        found = self.results[label].manifest.model
        return found.name if found.fingerprint == "unknown" else found.fingerprint

    def beside(self, label: str, among: Sequence[str]) -> list[str]:
        """Return those of some labels whose mutants are those of ``label``: screens of the same model and tile."""
        known = (self.model(label), self.results[label].manifest.tile)
        return [other for other in among if (self.model(other), self.results[other].manifest.tile) == known]

    def by_model(self, labels: Iterable[str]) -> dict[str, list[str]]:
        """Return labels in groups, by the name of their model."""
        groups: dict[str, list[str]] = {}
        for label in labels:
            groups.setdefault(self.model_names[label], []).append(label)
        return groups

    @cached_property
    def model_names(self) -> dict[str, str]:
        """What tables call the model of every screen: its name; with its fingerprint where two models share one."""
        names: dict[str, str] = {}
        for label, results in self.results.items():
            names.setdefault(self.model(label), results.manifest.model.told)
        told = list(names.values())
        return {
            label: name if told.count(name) == 1 else f"{name} ({model[:8]})"
            for label in self.labels
            for model in [self.model(label)]
            for name in [names[model]]
        }

    @cached_property
    def counterparts(self) -> dict[str, str]:
        """What a screen has in common with its counterparts of other models, by label: the name of its assay.

        Of screens of one model, and where two of a model have one assay, it is the label.
        """
        assays = {
            label: titled(results.manifest.assay.name, results) for label, results in self.results.items()
        }
        unique = len({(self.model(label), assays[label]) for label in assays}) == len(assays)
        several = len(set(self.model_names.values())) > 1
        return {label: no_column(name) if several and unique else label for label, name in assays.items()}

    def alike(self, column: str) -> pl.Expr:
        """Return the labels of a column as :attr:`counterparts`, for tables and figures of one model beside another."""
        return pl.col(column).replace_strict(self.counterparts)

    def text_of_panel(self, label: str) -> str | None:
        """Return the text assay of a panel's model that asks one of its prompts, else its first one; None without."""
        texts = self.beside(label, self.text)
        asked = {prompt.text for prompt in self.results[label].manifest.prompts}
        same = [text for text in texts if any(p.text in asked for p in self.results[text].manifest.prompts)]
        return next(iter([*same, *texts]), None)

    def _of_type(self, wanted: str) -> list[str]:
        return [label for label, results in self.results.items() if results.manifest.assay.type == wanted]

    def locus_maps(self, label: str) -> dict[LocusKey, MapData]:
        """Map of every locus of a screen, by layer and kind."""
        results = self.results[label]
        calls = self.maps[label] if label not in self.panels else self.records[label]
        return self.once(
            f"maps of {label}",
            lambda: locus_maps(calls, self.loci[label], results.manifest.tile, results.title),
        )

    def predictions(self, label: str) -> pl.DataFrame:
        """All predictions of a predicted screen."""
        return self.once(f"predictions of {label}", self.results[label].predictions)

    @cached_property
    def covariates(self) -> dict[str, pl.DataFrame]:
        """Covariates of the sites, of the maps that have them."""
        return {
            label: results.covariates()
            for label, results in self.results.items()
            if label not in self.panels and results.folder.has_covariates()
        }

    @cached_property
    def null_maps(self) -> dict[str, pl.DataFrame]:
        """Records of the null screens of every screen that has some, of all loci together.

        Raises:
            MutascopeError: when two have a locus in common.
        """
        for label, nulls in self.nulls.items():
            loci = pl.concat(each.loci.select(LOCUS_KEY) for each in nulls)
            for layer, kind in loci.filter(loci.is_duplicated()).head(1).iter_rows():
                raise MutascopeError(
                    f"{layer}.{kind} is in two of the null screens of {label}: give one of them at a time"
                )
        return {label: pl.concat(_mutants(each) for each in nulls) for label, nulls in self.nulls.items()}

    @cached_property
    def null_loci(self) -> dict[str, pl.DataFrame]:
        """Loci of the null screens of every screen that has some."""
        return {label: pl.concat(each.loci for each in nulls) for label, nulls in self.nulls.items()}

    @cached_property
    def phenotypes(self) -> dict[str, pl.DataFrame]:
        """Texts of the phenotypes of every screen."""
        return {label: results.phenotypes() for label, results in self.results.items()}

    @cached_property
    def severity(self) -> dict[str, pl.DataFrame]:
        """Severity of every phenotype of the text assays."""
        return {
            label: severity_frame(
                self.phenotypes[label], self.results[label].manifest.wild_type[0].continuation
            )
            for label in self.text
        }

    @cached_property
    def severe(self) -> dict[str, pl.DataFrame]:
        """Records of the text assays with their severity."""
        return {label: with_severity(self.records[label], self.severity[label]) for label in self.text}

    def outputs(self, label: str) -> pl.DataFrame:
        """Outputs of a panel: layer, kind, row, col, mutation, prompt, continuation."""
        outputs = self.results[label].outputs()
        texts = self.phenotypes[label].select("phenotype", "continuation")
        return outputs.join(texts, on="phenotype", how="left", maintain_order="left").select(
            *MUTANT_KEY, "prompt", "continuation"
        )

    def wild_outputs(self, label: str) -> pl.DataFrame:
        """Outputs of the wild type on a panel: prompt, continuation."""
        continuations = [row.continuation for row in self.results[label].manifest.wild_type]
        return pl.DataFrame({"prompt": range(len(continuations)), "continuation": continuations}).cast(
            {"prompt": pl.Int32}
        )

    def panel(self, label: str) -> pl.DataFrame:
        """Prompts of a panel: prompt, text, genre (``unknown`` where the manifest does not state it)."""
        prompts = self.results[label].manifest.prompts
        rows = [(index, prompt.text, prompt.genre or "unknown") for index, prompt in enumerate(prompts)]
        schema = {"prompt": pl.Int32, "text": pl.String, "genre": pl.String}
        return pl.DataFrame(rows, schema=schema, orient="row")


def open_many(paths: Sequence[str | os.PathLike[str]]) -> ScreenSet:
    """Open several screens to read them side by side; ``NAME=path`` gives one a name (:class:`ScreenSet`).

    Raises:
        MutascopeError: when there is none, one is given twice, is no screen, or holds neither record nor prediction.
    """
    return ScreenSet(paths)


def stack(labels: Iterable[str], frame: Callable[[str], pl.DataFrame]) -> pl.DataFrame:
    """Return the frames of several labels one below the other, with the label as column assay."""
    frames = [frame(label).select(pl.lit(label).alias("assay"), pl.all()) for label in labels]
    return pl.concat(frames, how="vertical_relaxed")


def once(build: Callable[[ScreenSet], pl.DataFrame]) -> Callable[[ScreenSet], pl.DataFrame]:
    """Make a table of the decorated function once for every set of screens."""

    @wraps(build)
    def made(given: ScreenSet) -> pl.DataFrame:
        return given.once(build, lambda: build(given))

    return made


def _null_of(label: str, every: Mapping[str, ScreenData]) -> str | None:
    """Return the label of the screen that another one is the null of, None where there is none."""
    null = every[label].manifest
    if null.model.shuffled is None or null.assay.type == "panel":
        return None
    alike = (null.model.shuffled.of, null.assay, null.tile)
    for other, results in every.items():
        real = results.manifest
        if (real.model.fingerprint, real.assay, real.tile) == alike:
            return other
    return None


def _mutants(results: ScreenData) -> pl.DataFrame:
    return results.records().select(*MUTANT_KEY, "silent")
