"""What a job is told: plain values, read from Python, from options or from a SPEC.yaml, and sent to workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mutascope.assays import Assay, build_assay, load_assay
from mutascope.core.design import Design, parse_indices, read_mutants
from mutascope.core.errors import MutascopeError, nearest
from mutascope.core.genome import Tiling, check_name
from mutascope.core.operators import check_mutations
from mutascope.core.yamlfile import validate
from mutascope.engine import ENGINES, NUMERICS
from mutascope.model.loading import Model
from mutascope.predict.fills import fills_of

ASSAY_KEYS = ("seed", "seeds", "max_length", "questions", "subject", "shots", "right", "wrong")
"""Flat keys that replace fields of the assay."""


class JobSpec(BaseModel):
    """What all jobs are told.

    Attributes:
        model: alias, local folder or Hub id.
        assay: what the model is asked.
        design: which mutants; a list in a file is read at once, so that workers need no file.
        tile: side of a tile in elements, or ``auto``.
        engine: ``fast`` or ``reference``.
        batch: mutants at a time; by default what the free memory holds.
        dtype: of the weights.
        device: ``cpu``, ``cuda``, ...; CUDA when there is one, by default.
        numerics: ``own`` or ``stock`` (docs/numerics.md).
        allow_pickle: accept weights that are not safetensors.
        trust_remote_code: run code that comes with the checkpoint.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = "smollm2-135m"
    assay: Assay = Field(default_factory=lambda: load_assay("drosophila"))
    design: Design = Design()
    tile: int | Literal["auto"] = "auto"
    engine: str = "fast"
    batch: int | None = Field(default=None, ge=1)
    dtype: str = "float32"
    device: str | None = None
    numerics: str = "own"
    allow_pickle: bool = False
    trust_remote_code: bool = False

    @field_validator("tile", mode="before")
    @classmethod
    def _tile(cls, tile: Any) -> Any:
        return tile if tile == "auto" else check_tile(tile)

    @field_validator("design")
    @classmethod
    def _design(cls, design: Design) -> Design:
        check_mutations(design.mutations or ())
        if isinstance(design.mutants, str):
            return design.model_copy(update={"mutants": tuple(read_mutants(Path(design.mutants)))})
        return design

    @model_validator(mode="after")
    def _names(self) -> Self:
        check_name("engine", self.engine, list(ENGINES))
        check_name("numerics", self.numerics, list(NUMERICS))
        return self


class ScreenSpec(JobSpec):
    """What a screen is told.

    Attributes:
        measure: also measure every mutant along the wild type's continuation, as an assay of several seeds does anyway.
        null_seed: shuffle the elements of every locus of the design before anything is run
            (:mod:`mutascope.model.shuffling`); by default nothing is shuffled.
    """

    measure: bool = False
    null_seed: int | None = None

    @model_validator(mode="after")
    def _measures(self) -> Self:
        if self.assay.further and self.numerics == "stock":
            raise MutascopeError("the chance of silence is not known with stock numerics: give one seed")
        return self


class PredictSpec(JobSpec):
    """What a prediction is told. Its design is of whole loci.

    Attributes:
        sample: number of sites that are run exactly; by default two per locus, 0: none.
        rivals: targets per generated token (:class:`~mutascope.predict.predictor.Predictor`).
    """

    sample: int | None = None
    rivals: float | None = None

    @model_validator(mode="after")
    def _whole_loci(self) -> Self:
        design = self.design
        if design.rows or design.cols or design.mutants or design.sample:
            raise MutascopeError(
                "a prediction is of whole loci: choose layers and kinds, not rows, columns or a list"
            )
        if not self.assay.predictable:
            raise MutascopeError(
                f"assay {self.assay.name!r} is a {self.assay.type}: predict a text assay of one of its prompts, or a"
                " choice assay"
            )
        if self.assay.further:
            raise MutascopeError("a prediction is of one seed: give its assay one")
        if self.sample is not None and self.sample < 0:
            raise MutascopeError(f"--sample is a number of sites, not {self.sample}")
        fills_of(design.mutations or (), 0, 0)
        return self


SpecT = TypeVar("SpecT", bound=JobSpec)


class Settings(TypedDict, total=False):
    """Fields of a :class:`JobSpec` beside model, assay and design; None is the default."""

    tile: int | str
    engine: str
    batch: int | None
    dtype: str | None
    device: str | None
    numerics: str
    allow_pickle: bool
    trust_remote_code: bool


def spec_of(
    kind: type[SpecT],
    model: str | Model,
    assay: str | Assay,
    design: Design | None,
    settings: Mapping[str, Any],
) -> SpecT:
    """Return a spec from Python values.

    Raises:
        MutascopeError: for an unknown name or setting, and where a loaded model is not of the dtype or device that is
            asked for.
    """
    stated = {name: value for name, value in settings.items() if value is not None}
    if isinstance(model, Model):
        _check_loaded(model, stated)
        stated |= {"model": model.name, "dtype": model.dtype, "device": str(model.network.device)}
    else:
        stated["model"] = model
    stated["assay"] = load_assay(assay) if isinstance(assay, str) else assay
    return validate(kind, {**stated, "design": design or Design()}, where=kind.__name__.removesuffix("Spec"))


def _check_loaded(model: Model, stated: Mapping[str, Any]) -> None:
    device = str(stated.get("device", "")).partition(":")[0]
    for name, wanted, real in (
        ("dtype", stated.get("dtype"), model.dtype),
        ("device", device, model.network.device.type),
    ):
        if wanted and wanted != real:
            raise MutascopeError(
                f"{model.name} was loaded with {name} {real}, not {wanted}: load it again with"
                f" load_model(..., {name}={wanted!r}), or pass its name"
            )


def read_spec(kind: type[SpecT], keys: dict[str, Any], *, where: str) -> SpecT:
    """Return the spec that flat keys state: its own ones, those of its design, and those that replace the assay's.

    Args:
        kind: of the spec.
        keys: as in a SPEC.yaml; ``layers`` may be ``0,3,8-11``, ``kinds`` may be ``v,down``.
        where: they are from, for the sentence of an error.

    Raises:
        MutascopeError: for an unknown key or an impossible value.
    """
    own = [name for name in kind.model_fields if name != "design"]
    chosen = [name for name in Design.model_fields if name not in own]
    known = [*own, *chosen, *ASSAY_KEYS]
    for key in keys:
        if key not in known:
            raise MutascopeError(f"{where}: unknown key {key!r}; {nearest(key, known)}")
    stated: dict[str, Any] = {name: keys[name] for name in own if name in keys}
    fields = {name: _READERS.get(name, _same)(keys[name]) for name in chosen if name in keys}
    stated["design"] = validate(Design, fields, where="design")
    changes = {name: keys[name] for name in ASSAY_KEYS if keys.get(name) is not None}
    if {"seed", "seeds"} <= changes.keys():
        raise MutascopeError(f"{where}: give either seed or seeds, whose first is the seed of the records")
    stated["assay"] = _assay(keys.get("assay", "drosophila"), changes, where)
    return validate(kind, stated, where=where)


def check_tile(tile: int | str) -> int:
    """Return the side of a tile.

    Raises:
        MutascopeError: when it is not a whole number of at least 1.
    """
    try:
        return Tiling(int(tile)).tile
    except (ValueError, TypeError, OverflowError):
        raise MutascopeError(f"tile must be a whole number or auto, not {tile!r}") from None


def _assay(stated: Any, changes: dict[str, Any], where: str) -> Assay:
    if isinstance(stated, dict):
        return build_assay({"name": "custom", **stated, **changes}, where="assay")
    if not isinstance(stated, str):
        raise MutascopeError(f"{where}: assay must be a preset, a YAML file or a mapping of its fields")
    return load_assay(stated, **changes)


def _same(value: Any) -> Any:
    return value


def _indices(value: Any) -> Any:
    if isinstance(value, int):
        return (value,)
    return parse_indices(value) if isinstance(value, str) else value


def _words(value: Any) -> Any:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list):
        return words
    cleaned = tuple(word.strip() if isinstance(word, str) else word for word in words)
    if not any(cleaned):
        raise MutascopeError("an empty list of kinds or mutations selects no mutant")
    return tuple(word for word in cleaned if word != "")


_READERS = {"layers": _indices, "rows": _indices, "cols": _indices, "kinds": _words, "mutations": _words}
