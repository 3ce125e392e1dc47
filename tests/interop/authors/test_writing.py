"""Export in the authors' format: by hand, and back again with the same calls and texts."""

import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from experiments import ASSAY, SHAPES, STANDARD, Q, V, write_experiment
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mutascope import MutascopeError, ScreenData
from mutascope.assays.phenotype import content_hash
from mutascope.core.manifest import Manifest
from mutascope.core.schema import MUTANT_KEY, PHENOTYPE_SCHEMA, RECORD_SCHEMA
from mutascope.interop.authors import AuthorsFiles, Exported, export_authors, import_authors
from mutascope.store import ScreenFolder, Shard

CALLS = [*MUTANT_KEY, "silent", "text"]


def screen_of(
    folder: Path,
    texts: Mapping[tuple[str, int, int, str], str | None],
    *,
    wild_type: str = STANDARD,
    kinds: tuple[str, ...] = ("q", "v"),
    leave_out: int = 0,
) -> ScreenData:
    """A finished-looking screen of layer 0 with max and min everywhere, silent but for ``texts``."""
    grids = {kind: (rows // 2, cols // 2) for kind, (rows, cols) in SHAPES.items()}
    rows: list[tuple] = []
    shown: dict[str | None, str] = {wild_type: content_hash(wild_type)}
    for kind in kinds:
        high, wide = grids[kind if kind in grids else "q"]
        for row, col, mutation in itertools.product(range(high), range(wide), ("max", "min")):
            text = texts.get((kind, row, col, mutation), wild_type)
            shown[text] = content_hash(text)
            rows.append((0, kind, row, col, mutation, text == wild_type, None, content_hash(text)))
    rows = rows[leave_out:]
    records = pl.DataFrame(rows, schema=RECORD_SCHEMA, orient="row")
    loci = []
    for kind in kinds:
        high, wide = grids.get(kind, (4, 3))
        loci.append(
            {
                **{
                    "layer": 0,
                    "kind": kind,
                    "rows": 2 * high,
                    "cols": 2 * wide,
                    "site_rows": high,
                    "site_cols": wide,
                },
                **{"region_sites": None, "sampled_sites": high * wide},
            }
        )
    manifest = {
        "format_version": 2,
        "model": dict.fromkeys(("name", "architecture", "dtype", "fingerprint", "tokenizer"), "tiny"),
        "assay": ASSAY,
        "generation": {},
        "prompts": [{"text": "Say:", "tokens": []}],
        "design": {"type": "full", "mutations": ["max", "min"], "sha256": "0" * 64},
        "tile": 2,
        "engine": "fast",
        "loci": loci,
        "libraries": {},
        "units": {"mutants": len(rows), "size": 10_000},
        "wild_type": [
            {"phenotype": content_hash(wild_type), "text": wild_type, "continuation": wild_type, "tokens": []}
        ],
    }
    target = ScreenFolder(folder)
    target.write_manifest(Manifest.model_validate(manifest))
    phenotypes = pl.DataFrame(
        [(name, text, text) for text, name in shown.items()], schema=PHENOTYPE_SCHEMA, orient="row"
    )
    target.write_unit("000000", Shard(records, phenotypes))
    return ScreenData(target)


def back_again(folder: Path, out: Path, **options) -> ScreenData:
    found = (sorted(folder.glob(f"*_{what}.txt")) for what in ("log", "code", "done", "finished"))
    base = {"model": "tiny", "shapes": SHAPES, "assay": ASSAY, "mutations": ("max", "min")}
    import_authors(AuthorsFiles(*found), out, **{**base, **options})
    return ScreenData(out)


def calls(results: ScreenData) -> list[tuple]:
    return results.texts().select(CALLS).rows()


def test_files_by_hand(tmp_path: Path):
    texts = {("q", 3, 0, "min"): "é\nb", ("q", 0, 1, "max"): "fly", ("q", 1, 0, "max"): "fly"}
    assert export_authors(screen_of(tmp_path / "screen", texts), tmp_path / "files") == Exported(0, ())
    name = "model.layers.0.self_attn.q_proj.weight"
    # The scripts go down the columns, so the codes are numbered in that order.
    assert (tmp_path / "files" / f"say_{name}_log.txt").read_text() == (
        f"max {name}:2,0:0\nmin {name}:6,0:1\nmax {name}:0,2:0\n"
    )
    assert (tmp_path / "files" / f"say_{name}_code.txt").read_text() == (
        f"seed:0 step: 2\nstandard output:\n{STANDARD}\n%%%%%%\n"
        f"{name}:0\nfly\n%%%%%%\n{name}:1\nord(233)\nb\n%%%%%%\n"
    )
    done = (tmp_path / "files" / "say_done.txt").read_text()
    assert done == f"{name}\nmodel.layers.0.self_attn.v_proj.weight\n"
    assert (tmp_path / "files" / f"say_{name}_finished.txt").read_text() == "6,4"
    assert (tmp_path / "files" / "say_model.layers.0.self_attn.v_proj.weight_log.txt").read_text() == ""


def test_a_locus_with_an_unscreened_mutant_does_not_come_back(tmp_path: Path):
    screen = screen_of(tmp_path / "screen", {("q", 3, 2, "min"): "fly"}, leave_out=1)
    assert export_authors(screen, tmp_path / "files").lost == ("0.q",)
    assert "q_proj" not in (tmp_path / "files" / "say_done.txt").read_text()
    again = back_again(tmp_path / "files", tmp_path / "again")
    assert again.loci["kind"].to_list() == ["v"]
    assert again.manifest.imported
    assert again.manifest.imported.left_out == ["0.q"]


@pytest.mark.parametrize("sites", [1, 3, 4, 7])
def test_the_first_sites_by_columns_come_back(tmp_path: Path, sites: int):
    name = "model.layers.0.self_attn.q_proj.weight"
    last = {name: (2 * ((sites - 1) % 4), 2 * ((sites - 1) // 4))}
    rows = [("max", 0, 0, "<s> Say: fly"), ("min", 4, 4, "<s> Say: worm")]
    files = write_experiment(tmp_path / "in", {name: rows}, [], finished=last)
    for path in files.iterdir():
        path.rename(path.with_name(path.name.replace("_110723", "")))
    first = back_again(files, tmp_path / "first")
    assert len(first.records()) == 2 * sites
    assert export_authors(first, tmp_path / "files") == Exported(0, ())
    assert back_again(tmp_path / "files", tmp_path / "again").texts().equals(first.texts())


TEXTS = st.text(max_size=12) | st.lists(
    st.sampled_from(
        [
            "%%%%%%",
            "ord(12)",
            "ord(233)",
            "ord12",
            "é",
            "[x]",
            "(",
            "\n",
            "\r",
            " ",
            "a:1",
            "</s>",
            "🙂",
            "max",
        ]
    ),
    max_size=8,
).map("".join)
SITES = st.tuples(
    st.sampled_from("qv"), st.integers(0, 1), st.integers(0, 2), st.sampled_from(["max", "min"])
)


@settings(max_examples=60)
@given(texts=st.dictionaries(SITES, TEXTS | st.none(), max_size=8))
def test_round_trip(texts: dict[tuple[str, int, int, str], str | None]):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        screen = screen_of(folder / "screen", texts)
        assume(
            not any(text and "%%%%%%\na:1" in text for text in texts.values())
        )  # may be refused, see below
        changed = export_authors(screen, folder / "files").changed
        before, after = calls(screen), calls(back_again(folder / "files", folder / "again"))
        kept = [(*row[:-1], _as_read(row[-1])) for row in before]
        assert after == kept
        distinct = {text for text in texts.values() if text is not None}
        assert changed == sum(_as_read(text) != text for text in distinct)


def _as_read(text: str | None) -> str | None:
    """The two ambiguities of the format: ``ord(233)`` in a text is read as é, and a text ``non-finite`` as none."""
    return None if text == "non-finite" else text and text.replace("ord(233)", "é")


def test_texts_that_would_end_an_entry_are_refused(tmp_path: Path):
    screen = screen_of(tmp_path / "screen", {("q", 0, 0, "max"): "a\n%%%%%%\nb:1"})
    with pytest.raises(
        MutascopeError, match="holds a line %%%%%% and after it one that ends in a colon and a number"
    ):
        export_authors(screen, tmp_path / "files")
    assert not (tmp_path / "files").exists()


def test_choice_assay_back_again(tmp_path: Path):
    name = "model.layers.0.self_attn.q_proj.weight"
    rows = [
        ("max", 0, 0, "A| |C| |ord9679| |right: 1|0 wrong: 1|1 total: 1|2|3"),
        ("min", 0, 2, "^n| | the| |D| |right: 0|0 wrong: 2|1 total: 0|3|3"),
        ("min", 0, 4, "non-finite| |right: -|- wrong: -|- total: 0|1|1"),
    ]
    standard = "A| |B| |C| |right: 2|0 wrong: 0|1 total: 2|1|3"
    files = write_experiment(tmp_path / "in", {name: rows}, [name], standard=standard)
    for path in files.iterdir():
        path.rename(path.with_name(path.name.replace("_110723", "")))
    options = {"assay": {"name": "mmlu3"}, "choice": True}
    first = back_again(files, tmp_path / "first", **options)
    assert export_authors(first, tmp_path / "files") == Exported(0, ())
    again = back_again(tmp_path / "files", tmp_path / "again", **options)
    assert again.texts().equals(first.texts())
    assert again.manifest.wild_type == first.manifest.wild_type


def test_screens_that_the_format_cannot_hold(tmp_path: Path):
    with pytest.raises(MutascopeError, match=r"no name for 0\.router"):
        export_authors(screen_of(tmp_path / "one", {}, kinds=("q", "router")), tmp_path / "files")
    several = screen_of(tmp_path / "two", {})
    several.manifest.assay.type = "panel"
    with pytest.raises(MutascopeError, match="is a panel of prompts"):
        export_authors(several, tmp_path / "files")
    assert not (tmp_path / "files").exists()


def test_a_folder_in_use_is_not_touched(tmp_path: Path):
    screen = screen_of(tmp_path / "screen", {})
    with pytest.raises(MutascopeError, match="is not an empty folder"):
        export_authors(screen, tmp_path / "screen")


# command line


def options_for(folder: Path, out: Path) -> list[object]:
    assay = folder.parent / "say.yaml"
    assay.write_text("prompt: 'Say:'\nmax_length: 20\n")
    return [folder, "--out", out, "--model", "tiny", "--assay", assay, "--shapes", "q=8x6, v=4x6"]


LOGS = {Q: [("min", 6, 4, "<s> Say: fly")], V: [("zero", 2, 4, "<s> Say: worm")]}


def test_commands(cli, tmp_path: Path):
    files = write_experiment(tmp_path / "in", LOGS, [Q, V])
    result = cli("import-authors", *options_for(files, tmp_path / "screen"), "--swapped")
    assert result.code == 0
    assert "54 mutants, 2 NSMs, max and min exchanged\ncomplete loci: 2\n" in result.out
    result = cli("export", tmp_path / "screen", "--format", "authors", "--out", tmp_path / "again")
    assert (result.code, result.out) == (0, f"{tmp_path / 'again'}: log, code, finished and done files\n")
    log = next((tmp_path / "again").glob("*q_proj.weight_log.txt")).read_text()
    assert log == f"max {Q}:6,4:0\n"
    result = cli("import-authors", *options_for(tmp_path / "again", tmp_path / "screen2"))
    assert ScreenData(tmp_path / "screen2").records().equals(ScreenData(tmp_path / "screen").records())
    assert cli("status", tmp_path / "screen").code == 0
    result = cli("show", tmp_path / "screen", "0.q:3,2:max", "--check")
    assert (result.code, "was imported" in result.err) == (2, True)


def test_incomplete_loci_are_told(cli, tmp_path: Path):
    files = write_experiment(tmp_path / "in", LOGS, [Q])
    result = cli("import-authors", *options_for(files, tmp_path / "screen"))
    assert (
        "1 locus left out, because no done or finished file says which of their sites were run (3.v)"
        in result.out
    )
    assert "1 logged mutant left out" in result.out


def test_the_version_of_the_script_is_asked_for_and_nothing_is_advised(cli, tmp_path: Path):
    files = write_experiment(tmp_path / "in", LOGS, [Q, V])
    told = cli("import-authors", *options_for(files, tmp_path / "screen")).out
    assert "right for the logs of the paper" in told
    assert "2025-01-17 or later" in told
    swapped = cli("import-authors", *options_for(files, tmp_path / "other"), "--swapped").out
    assert "2025" not in swapped


@pytest.mark.parametrize(
    "words, change",
    [
        ("is not a folder", {0: "nowhere"}),
        ("has no file *.weight_code*.txt: name what is there with --codes", {0: "."}),
        ("unknown model 'tiny'", {"--shapes": None}),
        ("--shapes has 'q=8'; write kind=ROWSxCOLS", {"--shapes": "q=8"}),
        ("unknown assay 'sag'", {"--assay": "sag"}),
        ("is no pattern of files", {"--codes": "/etc/*"}),
    ],
)
def test_bad_options(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, change: dict):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    first, *options = options_for(write_experiment(tmp_path / "in", LOGS, [Q, V]), tmp_path / "out")
    named = {**dict(zip(options[::2], options[1::2], strict=True)), **change}
    folder = named.pop(0, first)
    flat = [part for key, value in named.items() if value is not None for part in (key, value)]
    result = cli("import-authors", folder, *flat)
    assert result.code == 2, result
    assert words in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "empty").iterdir()) == []
