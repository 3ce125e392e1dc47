"""Import of the authors' files: by hand, and every kind of bad input in one sentence."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from experiments import ASSAY, SHAPES, STANDARD, Q, V, write_experiment

from mutascope import MutascopeError, ScreenData
from mutascope.assays.phenotype import content_hash
from mutascope.core.schema import MUTANT_KEY, RECORD_SCHEMA
from mutascope.interop.authors import AuthorsFiles, Imported, import_authors

LOGS = {
    Q: [
        ("max", 0, 0, "<s> Say: fly"),
        ("min", 6, 4, "<s> Say: ord(233)g\n\n%%%%%%\nx"),
        ("max", 2, 2, "<s> Say: fly"),
    ],
    V: [("zero", 2, 4, "<s> Say: worm"), ("max", 0, 2, "<s> Say: fly")],
}


def files_of(folder: Path) -> AuthorsFiles:
    found = (sorted(folder.glob(f"*_{what}_*")) for what in ("log", "code", "done", "finished"))
    return AuthorsFiles(*found)


def run(folder: Path, out: Path, **options) -> Imported:
    base = {"model": "tiny", "shapes": SHAPES, "assay": ASSAY}
    return import_authors(files_of(folder), out, **{**base, **options})


@pytest.fixture
def complete(tmp_path: Path) -> ScreenData:
    summary = run(write_experiment(tmp_path / "in", LOGS, [Q, V]), tmp_path / "out")
    assert summary == Imported(mutants=(12 + 6) * 3, nsm=5, complete=("0.q", "3.v"), incomplete=())
    return ScreenData(tmp_path / "out")


def test_records_of_complete_loci(complete: ScreenData):
    records = complete.records()
    assert records.schema == {**RECORD_SCHEMA, "code": pl.Int32}
    codes = records.filter(~pl.col("silent"))["code"].to_list()
    assert codes == [0, 0, 1, 1, 0]  # of the files, a locus at a time
    assert records.filter("silent")["code"].null_count() == 18 * 3 - 5
    nsms = records.filter(~pl.col("silent")).select(*MUTANT_KEY).rows()
    assert nsms == [
        (0, "q", 0, 0, "max"),
        (0, "q", 1, 1, "max"),
        (0, "q", 3, 2, "min"),
        (3, "v", 0, 1, "max"),
        (3, "v", 1, 2, "zero"),
    ]
    assert records["mutation"].to_list() == ["max", "min", "zero"] * 18
    assert records.select("row", "col").rows()[:4] == [(0, 0), (0, 0), (0, 0), (0, 1)]
    assert records["first_divergence"].null_count() == len(records)
    texts = complete.texts().filter(~pl.col("silent"))["text"].to_list()
    assert texts == ["<s> Say: fly"] * 2 + ["<s> Say: ég\n\n%%%%%%\nx", "<s> Say: fly", "<s> Say: worm"]
    # One text is one phenotype, whatever its code in each locus.
    assert records["phenotype"].n_unique() == 4
    wild = complete.manifest.wild_type[0]
    assert (wild.text, wild.continuation) == (STANDARD, " egg, larva, pupa")
    assert set(records.filter("silent")["phenotype"]) == {wild.phenotype}
    assert set(complete.phenotypes()["continuation"]) == {
        " egg, larva, pupa",
        " fly",
        " ég\n\n%%%%%%\nx",
        " worm",
    }


def test_manifest_says_what_is_known(complete: ScreenData):
    manifest = complete.manifest
    assert manifest.model.to_dict() == {
        "name": "tiny",
        **dict.fromkeys(["architecture", "dtype", "fingerprint", "tokenizer"], "unknown"),
    }
    assert manifest.design.type == "list"  # 0.q and 3.v are no product of layers and kinds
    assert manifest.imported
    assert manifest.imported.to_dict() == {
        "format": "authors",
        "swapped": False,
        "complete": ["0.q", "3.v"],
        "incomplete": [],
        "left_out": [],
    }
    assert complete.finished
    assert (manifest.tile, manifest.engine, manifest.generation) == (2, "imported", {})
    assert (complete.folder.has_mutants(), complete.total) == (True, 54)
    summary = complete.summary()
    assert (summary["state"], summary["model"]) == ("imported, without controls", "tiny (unknown)")
    complete.folder.check_units(["000000"], {"000000": 54})


def test_a_product_of_layers_and_kinds_is_a_region_with_rates(tmp_path: Path):
    run(write_experiment(tmp_path / "in", {Q: LOGS[Q]}, [Q]), tmp_path / "out", mutations=("max", "min"))
    results = ScreenData(tmp_path / "out")
    design = results.manifest.design
    assert (design.type, design.layers, design.kinds) == ("region", [0], ["q"])
    assert results.rates().select("sites", "mutants", "nsm", "low", "high").row(0) == (
        12,
        24,
        3,
        3 / 24,
        3 / 24,
    )
    assert not results.folder.has_mutants()
    assert results.map(0, "q").nsm_sites == 3


def test_a_locus_is_known_up_to_the_last_finished_site_by_columns(tmp_path: Path):
    folder = write_experiment(tmp_path / "in", LOGS, [V], finished={Q: (2, 2), V: (2, 4)})
    summary = run(folder, tmp_path / "out")
    assert summary == Imported((6 + 6) * 3, 4, ("3.v",), ("0.q",), (), dropped=1)
    results = ScreenData(tmp_path / "out")
    records = results.records().filter(kind="q")
    # 4 x 3 sites: column 0, and of column 1 rows 0 and 1.
    sites = records.select("row", "col").unique(maintain_order=True).rows()
    assert sorted(sites, key=lambda site: site[::-1]) == [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1)]
    assert (len(records), int((~records["silent"]).sum())) == (18, 2)
    assert results.loci["sampled_sites"].to_list() == [6, 6]
    assert results.rates("kind").filter(kind="q")["rate"].to_list() == [2 / 18]
    assert results.rates()["low"].null_count() == 1
    assert not results.finished
    assert results.summary()["state"] == "imported, of an unfinished screen"


def test_a_locus_of_which_no_file_says_what_was_run_is_left_out(tmp_path: Path):
    summary = run(write_experiment(tmp_path / "in", LOGS, [V]), tmp_path / "out")
    assert summary == Imported(18, 2, ("3.v",), (), ("0.q",), dropped=3)
    results = ScreenData(tmp_path / "out")
    assert results.loci["kind"].to_list() == ["v"]
    assert results.manifest.imported
    assert results.manifest.imported.left_out == ["0.q"]
    assert not results.finished


def test_swapped_labels(tmp_path: Path):
    run(write_experiment(tmp_path / "in", LOGS, [Q, V]), tmp_path / "out", swapped=True)
    results = ScreenData(tmp_path / "out")
    nsms = results.records().filter(~pl.col("silent")).select("row", "col", "mutation").rows()
    assert nsms == [(0, 0, "min"), (1, 1, "min"), (3, 2, "max"), (0, 1, "min"), (1, 2, "zero")]
    assert results.manifest.imported
    assert results.manifest.imported.swapped


def test_a_silent_locus_without_a_log(tmp_path: Path):
    summary = run(write_experiment(tmp_path / "in", {Q: []}, [Q]), tmp_path / "out")
    assert (summary.mutants, summary.nsm) == (36, 0)


def test_restart_markers_and_repeated_lines(tmp_path: Path):
    folder = write_experiment(tmp_path / "in", {Q: LOGS[Q]}, [Q])
    log = next(folder.glob("*_log_*"))
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], lines[1], "%%%%%%", lines[1], "%%%%%%", lines[2]]) + "\n")
    assert run(folder, tmp_path / "out").nsm == 3


def test_a_logged_mutant_with_the_standard_text_is_silent(tmp_path: Path):
    # The script for choices compares an escaped output with a standard output that is not escaped.
    folder = write_experiment(
        tmp_path / "in", {Q: [("max", 0, 0, "<s> Say: ord(233)")]}, [Q], standard="<s> Say: é"
    )
    assert run(folder, tmp_path / "out").nsm == 0


def test_carriage_returns_and_empty_texts_are_kept(tmp_path: Path):
    texts = ["<s> Say: a\r\nb\rc", "", "%%%%%%", "\n", "%%%%%%\n%%%%%%"]
    rows = [
        ("max", 0, 0, texts[0]),
        ("min", 0, 0, texts[1]),
        *(("max", 2, 2 * i, t) for i, t in enumerate(texts[2:])),
    ]
    run(write_experiment(tmp_path / "in", {Q: rows}, [Q]), tmp_path / "out")
    read = ScreenData(tmp_path / "out").texts().filter(~pl.col("silent"))["text"].to_list()
    assert read == texts


def test_choice_assay(tmp_path: Path):
    standard = "A| |B| |ord9679| |right: 2|0 wrong: 0|1 total: 2|1|3"
    rows = [
        ("max", 0, 0, "A| |C| |D| |right: 1|0 wrong: 1|1 total: 1|2|3"),
        ("min", 0, 2, "^n| | the| |ord9679| |right: 0|0 wrong: 2|1 total: 0|3|3"),
        ("zero", 0, 2, "non-finite| |right: -|- wrong: -|- total: 0|1|1"),
    ]
    folder = write_experiment(tmp_path / "in", {Q: rows}, [Q], standard=standard)
    run(folder, tmp_path / "out", assay={"name": "mmlu3"}, choice=True)
    results = ScreenData(tmp_path / "out")
    shown = (
        results.texts()
        .filter(~pl.col("silent"))
        .select("col", "mutation", "score", "destructive", "text")
        .rows()
    )
    assert shown == [
        (0, "max", 1, False, "A\nC\nD"),
        (1, "min", 0, True, "\nthe\n●"),
        (1, "zero", 0, True, None),
    ]
    silent = results.records().filter("silent")
    assert set(silent["score"]) == {2}
    assert silent.select("kept", "gained").unique().rows() == [(2, 0)]
    nsms = results.records().filter(~pl.col("silent"))
    assert nsms["phenotype"][0] == content_hash(
        "A\nC\nD"
    )  # as of a screen of our own that gave these answers
    assert nsms.select("kept", "gained").rows() == [(1, 0), (0, 0), (None, None)]
    assert set(silent["destructive"]) == {True}  # the wild type's own third answer is no letter
    assert [answer.continuation for answer in results.manifest.wild_type] == ["A", "B", "●"]


def test_the_package_needs_no_torch():
    code = "import sys, mutascope.interop.authors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


BAD = {
    "is no code file": ("*q_proj*_code_*", lambda c: c.replace(b"seed:0", b"seeds")),
    "ends within an entry": ("*q_proj*_code_*", lambda c: c[:-3]),
    "has another seed than": ("*v_proj*_code_*", lambda c: c.replace(b"seed:0", b"seed:7")),
    "has another step than": ("*v_proj*_code_*", lambda c: c.replace(b"step: 2", b"step: 4")),
    "has another standard output than": ("*v_proj*_code_*", lambda c: c.replace(b"egg", b"eggs")),
    "has step 0": ("*_code_*", lambda c: c.replace(b"step: 2", b"step: 0")),
    "byte 3 is not UTF-8": ("*v_proj*_code_*", lambda c: b"see\xff" + c),
    "line 2: 'max nothing' has not the form": ("*q_proj*_log_*", lambda c: b"\nmax nothing\n" + c),
    "is no matrix of a Llama-like model": ("*q_proj*_log_*", lambda c: c.replace(b"q_proj", b"z_proj")),
    "no multiple of the step 2": ("*q_proj*_log_*", lambda c: c.replace(b":6,4:", b":6,5:")),
    "which lies outside 0.q": ("*q_proj*_log_*", lambda c: c.replace(b":6,4:", b":8,4:")),
    "has code 9 of": ("*q_proj*_log_*", lambda c: c.replace(b":6,4:1", b":6,4:9")),
    "twice with different codes": ("*q_proj*_log_*", lambda c: c.replace(b"2,2:0", b"0,0:1")),
    "has a big mutant": ("*q_proj*_log_*", lambda c: c.replace(b"min", b"big")),
    "_done_110723.txt, line 1: 'lm_head'": ("*_done_*", lambda c: b"lm_head\n" + c),
    "holds several matrices, model.layers.0": (
        "*q_proj*_log_*",
        lambda c: c + f"max {V}:0,2:1\n".encode(),
    ),
    "and a done file that it is complete": ("*q_proj*_finished_*", lambda c: b"4,4"),
    "8,0 was run last, which is no site of 0.q": ("*q_proj*_finished_*", lambda c: b"8,0"),
    "has not the form `loc1,loc2`": ("*q_proj*_finished_*", lambda c: b""),
    "no log has a mutant with code 1": ("*q_proj*_log_*", lambda c: c[: c.index(b"min")]),
    "has another text for code 0": ("*v_proj*_code_*", lambda c: c.replace(V.encode(), Q.encode())),
    "holds several matrices, model.layers.3": (
        "*v_proj*_code_*",
        lambda c: c.replace(V.encode() + b":1", Q.encode() + b":1"),
    ),
}


@pytest.mark.parametrize("words", BAD)
def test_bad_files_are_refused_in_one_sentence(tmp_path: Path, words: str):
    folder = write_experiment(tmp_path / "in", LOGS, [Q, V], finished={Q: (6, 4)})
    pattern, change = BAD[words]
    for path in folder.glob(pattern):
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(MutascopeError) as refusal:
        run(folder, tmp_path / "out")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words, options",
    [
        ("the shape of 3.v is unknown", {"shapes": {"q": (8, 6)}}),
        (
            "does not contain the prompt of assay 'other'",
            {"assay": {**ASSAY, "name": "other", "prompt": "Tell:"}},
        ),
        ("have seed 0 and assay 'say' has seed 10", {"assay": {**ASSAY, "seed": 10}}),
        ("the standard output is no text of a choice assay", {"choice": True}),
        ("the mutations are said to be max, min", {"mutations": ("max", "min")}),
    ],
)
def test_files_that_are_of_something_else(tmp_path: Path, words: str, options: dict):
    with pytest.raises(MutascopeError, match=words):
        run(write_experiment(tmp_path / "in", LOGS, [Q, V]), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_done_matrix_without_any_code_file_is_refused(tmp_path: Path):
    folder = write_experiment(tmp_path / "in", {Q: LOGS[Q]}, [Q, V])
    with pytest.raises(MutascopeError, match=f"a done file names {V}, and no code file is of it"):
        run(folder, tmp_path / "out")


def test_nothing_that_is_known_to_have_been_run(tmp_path: Path):
    with pytest.raises(MutascopeError, match="not known of any matrix which sites were run"):
        run(write_experiment(tmp_path / "in", {Q: LOGS[Q]}, []), tmp_path / "out")


def test_nothing_to_import(tmp_path: Path):
    folder = write_experiment(tmp_path / "in", {Q: []}, [])
    with pytest.raises(MutascopeError, match="the files hold no mutant"):
        run(folder, tmp_path / "out")
    with pytest.raises(MutascopeError, match="there is no code file"):
        import_authors(AuthorsFiles([], [], []), tmp_path / "out", model="m", shapes=SHAPES, assay=ASSAY)


def test_a_folder_in_use_is_not_touched(tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(MutascopeError, match="exists and is not a screen folder"):
        run(write_experiment(tmp_path / "in", LOGS, [Q, V]), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_existing_screen_is_not_overwritten(complete: ScreenData, tmp_path: Path):
    before = complete.manifest.to_json()
    with pytest.raises(MutascopeError, match="holds a screen already"):
        run(tmp_path / "in", tmp_path / "out")
    assert ScreenData(tmp_path / "out").manifest.to_json() == before
