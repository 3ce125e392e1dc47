"""The manifest of a screen: what it is, and its wild type (docs/format.md, section 4)."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mutascope.core.design import Plan
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Genome, Tiling, coverage
from mutascope.core.schema import FORMAT_VERSION, READABLE_VERSIONS

MOST = 10**10
"""Of anything that is counted: a manifest that says more is damaged."""
Count = Annotated[int, Field(ge=0, le=MOST)]
STOCK = "stock"
"""Numerics of torch's own kernels, which differ from machine to machine."""
_KEPT_OUTPUTS = ("panel", "choice")
"""Types of assays that kept the output of every prompt, even of a single one, when manifests did not say so."""


class _Stored(BaseModel):
    """A JSON object; keys that are not known are kept, and those that were not given are not written."""

    model_config = ConfigDict(extra="allow")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object: what was read or given, nothing else."""
        return self.model_dump(exclude_unset=True)


class ShuffledInfo(_Stored):
    """Which matrices of a null model hold their elements in another order (docs/format.md, 4.2)."""

    of: str
    seed: int
    loci: list[str]

    @property
    def told(self) -> str:
        """What was shuffled, in words."""
        return f"{self.loci[0] if len(self.loci) == 1 else f'{len(self.loci)} loci'} shuffled"


class ModelInfo(_Stored):
    """The model; ``unknown`` stands for what an imported screen does not say."""

    name: str
    architecture: str
    dtype: str
    fingerprint: str
    tokenizer: str
    shuffled: ShuffledInfo | None = None

    @property
    def told(self) -> str:
        """Its name, with what was shuffled."""
        return self.name if self.shuffled is None else f"{self.name} ({self.shuffled.told})"


class AssayInfo(_Stored):
    """The assay as stated. The fields of its type are kept as they are (:attr:`stated`)."""

    name: str
    type: str
    seed: int = 0

    @property
    def stated(self) -> dict[str, Any]:
        """The fields of the assay itself, without its type."""
        return {key: value for key, value in self.to_dict().items() if key != "type"}


class PromptInfo(_Stored):
    """A prompt: ``key``, ``question``, ``choices`` (their number, where questions differ in it) and ``subject`` (where
    several are pooled) in a choice assay, ``genre`` in a panel where it is known.
    """

    text: str
    tokens: list[int]
    key: str | None = None
    question: int = 0
    choices: int | None = None
    subject: str | None = None
    genre: str | None = None


class DesignInfo(_Stored):
    """Which mutants; the fields of the region are those of :class:`mutascope.core.design.Design`."""

    type: Literal["full", "region", "sample", "list", "adaptive"]
    mutations: list[str]
    sha256: str
    layers: list[int] | None = None
    kinds: list[str] | None = None
    rows: list[int] | None = None
    cols: list[int] | None = None
    sample: int | None = None
    sample_seed: int | None = None


class LocusInfo(_Stored):
    """A locus of the design."""

    layer: int = Field(ge=0, le=2**15 - 1)
    kind: str
    rows: Count
    cols: Count
    site_rows: Count
    site_cols: Count
    region_sites: Count | None
    sampled_sites: Count

    @property
    def name(self) -> str:
        """As in ``15.down``."""
        return f"{self.layer}.{self.kind}"


class MatrixInfo(_Stored):
    """A matrix of a layer that is no locus."""

    parameter: str
    shape: list[int]


class UnitsInfo(_Stored):
    """Number of mutants of the design, and mutants per unit."""

    mutants: Count
    size: int = Field(ge=1, le=MOST)


class WildOutput(_Stored):
    """Output of the wild type on one prompt; of a text assay also the text and the margin of every token, and the seed
    where it is a further one.
    """

    phenotype: str
    text: str
    continuation: str
    tokens: list[int]
    pieces: list[str] | None = None
    margins: list[float] | None = None
    seed: int | None = None


class Numerics(_Stored):
    """Whose arithmetic the records have: of the network, and of the choice of tokens."""

    operations: str
    sampling: str

    @property
    def stock(self) -> bool:
        """Whether both are torch's own."""
        return self.operations == self.sampling == STOCK

    def __str__(self) -> str:
        alone = self.sampling == self.operations
        return self.operations if alone else f"{self.operations} (sampling: {self.sampling})"


class Platform(_Stored):
    """The machine that began the screen."""

    python: str
    machine: str
    device: str
    processor: str | None = None


class Controls(_Stored):
    """What vouches for the records; of a screen of the reference engine, only that the weights were restored."""

    weights_restored: bool
    engine: str | None = None
    replayed: int | None = None
    replay_mismatches: list[str] = []
    noops: int | None = None
    noops_not_silent: list[str] = []
    calls: int | None = None
    seconds_of_last_run: float | None = None

    @property
    def told(self) -> str:
        """What was checked, in words, with the names of what failed."""
        told = ["weights restored" if self.weights_restored else "weights NOT RESTORED"]
        for total, failed, passed in (
            (self.replayed, self.replay_mismatches, "replays agree"),
            (self.noops, self.noops_not_silent, "no-ops are silent"),
        ):
            if total is not None:
                told.append(f"{total - len(failed):,} of {total:,} {passed}")
            told += [f"NOT {name}" for name in failed]
        return ", ".join(told)


class ImportedInfo(_Stored):
    """Which files of another program the records were read from."""

    format: str
    swapped: bool
    complete: list[str]
    incomplete: list[str]
    left_out: list[str] = []

    @property
    def finished(self) -> bool:
        """Whether every site of every matrix was run."""
        return not (self.incomplete or self.left_out)


class Calibration(_Stored):
    """What turned predicted risks into probabilities: intercept and slope by kind."""

    calls: int
    curves: dict[str, list[float]]
    lapse: float


class Predictions(_Stored):
    """What was predicted."""

    mutations: list[str]
    targets: int
    seconds: float | None = None
    calibration: Calibration | None = None


class Manifest(_Stored):
    """The manifest; :meth:`parse` reads one, and :meth:`to_json` writes back all that was read."""

    format_version: int
    model: ModelInfo
    assay: AssayInfo
    generation: dict[str, Any]
    prompts: list[PromptInfo]
    letters: list[str] | None = None
    design: DesignInfo
    tile: int
    engine: str
    measure: bool = False
    outputs: bool | None = None
    numerics: Numerics | None = None
    loci: list[LocusInfo]
    layer_weights: int | None = Field(default=None, ge=1)
    uncovered: list[MatrixInfo] = []
    units: UnitsInfo
    wild_type: list[WildOutput]
    further_wild_types: list[WildOutput] = []
    libraries: dict[str, str]
    platform: Platform | None = None
    created: str | None = None
    controls: Controls | None = None
    imported: ImportedInfo | None = None
    predictions: Predictions | None = None

    @property
    def vouched(self) -> bool:
        """Whether controls were written after the last mutant of the design; a list may have grown since."""
        return self.controls is not None and self.controls.calls in (None, self.units.mutants)

    @classmethod
    def parse(cls, content: str | bytes, folder: str) -> Self:
        """Read a manifest of any format version that is known.

        Args:
            content: JSON.
            folder: where it was found, for the sentence of an error.

        Raises:
            MutascopeError: when it is damaged, or of a later format.
        """
        damaged = f"{folder}/manifest.json is damaged: it"
        try:
            found = json.loads(content)
            version = found["format_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise MutascopeError(f"{damaged} is not the JSON of a screen") from error
        if version not in READABLE_VERSIONS:
            raise MutascopeError(
                f"{folder} has format version {version}, this mutascope reads up to {FORMAT_VERSION}:"
                " install another one"
            )
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            raise MutascopeError(f"{damaged} {_complaint(error)}") from error

    @model_validator(mode="before")
    @classmethod
    def _with_assay_type(cls, found: Any) -> Any:
        """Folders that do not store the type of their assay say it by what else they have."""
        match found:
            case {"assay": {"type": _}}:
                return found
            case {"assay": dict(assay)}:
                return {**found, "assay": {**assay, "type": _assay_type(found, assay)}}
            case _:
                return found

    @property
    def keeps_outputs(self) -> bool:
        """Whether every unit has a row per (mutant, prompt); those of an imported screen may be unknown."""
        if self.outputs is not None:
            return self.outputs
        return self.numerics is not None and (self.assay.type in _KEPT_OUTPUTS or len(self.prompts) > 1)

    @property
    def offered(self) -> list[list[str]]:
        """Letters of the choices of every question of a choice assay, where they are stored."""
        letters = self.letters or []
        return [letters[: prompt.choices] for prompt in self.prompts] if letters else []

    @property
    def pooled(self) -> bool:
        """Whether it is a choice assay that pools the questions of several subjects."""
        return any(prompt.subject is not None for prompt in self.prompts)

    @property
    def coverage(self) -> str | None:
        """Which share of the layers' weights the loci hold, in words; None where it is not stated."""
        if self.layer_weights is None:
            return None
        screened = sum(locus.rows * locus.cols for locus in self.loci)
        return coverage(screened, self.layer_weights, [(m.parameter, m.shape) for m in self.uncovered])

    def to_json(self) -> str:
        """Return the manifest as it is stored.

        Raises:
            ValueError: when a number is NaN or infinite.
        """
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)


def describe_loci(plan: Plan, tiling: Tiling) -> list[LocusInfo]:
    """Return the loci of a design (docs/format.md, 4.4)."""
    described = []
    for locus in plan.loci:
        site_rows, site_cols = tiling.grid(locus)
        info = LocusInfo(
            layer=locus.layer,
            kind=locus.kind,
            rows=locus.rows,
            cols=locus.cols,
            site_rows=site_rows,
            site_cols=site_cols,
            region_sites=plan.population.get(locus.name),
            sampled_sites=plan.sampled[locus.name],
        )
        described.append(info)
    return described


def describe_uncovered(genome: Genome) -> list[MatrixInfo]:
    """Return the matrices of the layers that are no locus."""
    return [MatrixInfo(parameter=name, shape=list(shape)) for name, shape in genome.uncovered]


def _assay_type(found: dict[str, Any], assay: dict[str, Any]) -> str:
    prompts = found.get("prompts")
    if "letters" in found or not prompts:  # no prompts are known of an imported choice assay
        return "choice"
    return "panel" if "prompts" in assay or len(prompts) > 1 else "text"


def _complaint(error: ValidationError) -> str:
    """Return what is wrong with a manifest, a missing key first."""
    errors = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "missing")
    first = errors[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"has no {name!r}"
    return f"has a {name!r} that is not as docs/format.md has it ({first['msg'].lower()})"
