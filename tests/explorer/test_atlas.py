"""What the pages say, against the store."""

import gzip
import json
import shutil
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
import pytest

from mutascope import Mutant, MutascopeError
from mutascope.analysis.enrichment import HITS, nsm_enrichment
from mutascope.core.schema import MUTANT_KEY
from mutascope.explorer import Atlas, write_site
from mutascope.explorer.packing import unpack
from mutascope.explorer.prepared import StoredPages, prepare
from mutascope.explorer.pyramid import coarser, status_counts
from mutascope.explorer.told import Told, place_of
from mutascope.store import ScreenFolder, Shard
from mutascope.store.reader import ScreenData
from stores import as_choice, random_records, records_of, write_predictions, write_screen


def page(atlas, path) -> Any:
    """A page as the browser reads it."""
    if not path.endswith(".bin"):
        return json.loads(atlas.read(path))
    content = gzip.decompress(atlas.read(path))
    return json.loads(content) if content.startswith(b"[") else unpack(content)


def test_the_index_has_the_counts_of_every_locus(atlas, folders):
    screens = page(atlas, "data/atlas.json")["screens"]
    assert [screen["label"] for screen in screens] == [
        "drosophila",
        "newton",
        "mmlu21",
        "mmlu",
        "guessed (predicted)",
    ]
    for data in ScreenData(folders["drosophila"]).maps():
        told = next(locus for locus in screens[0]["loci"] if locus["name"] == data.name)
        assert told["counts"] == [int((data.status == value).sum()) for value in range(5)]
        assert told["transposed"] == (data.kind == "gate")


def test_the_overview_holds_the_maps(atlas, folders):
    _, arrays = page(atlas, "data/0/overview.bin")
    for data in ScreenData(folders["drosophila"]).maps():
        assert (arrays[f"{data.name}/0"] == data.status).all()


def test_the_levels_of_the_overview_add_up_exactly(atlas, folders):
    _, arrays = page(atlas, "data/0/overview.bin")
    for data in ScreenData(folders["drosophila"]).maps():
        fine, level = status_counts(arrays[f"{data.name}/0"]), 1
        while f"{data.name}/{level}" in arrays:
            fine = coarser(fine)
            assert (arrays[f"{data.name}/{level}"] == fine).all()
            level += 1
        assert fine.shape == (1, 1, 5)


def test_a_locus_holds_its_records(atlas, folders):
    facts, arrays = page(atlas, "data/1/loci/1.down.bin")
    records = ScreenData(folders["newton"]).records().filter(layer=1, kind="down", mutation="min")
    assert (facts["rows"], facts["cols"]) == (6, 10)
    ordered = records.sort("row", "col")
    assert (arrays["min.state"] == np.where(ordered["silent"], 1, 2)).all()
    assert (arrays["min.divergence"] == ordered["first_divergence"].fill_null(-1).to_numpy()).all()


def test_a_phenotype_is_the_same_in_table_locus_texts_and_sites(atlas, folders):
    results = ScreenData(folders["drosophila"])
    nsms = results.texts().filter(~pl.col("silent"))
    screen = page(atlas, "data/atlas.json")["screens"][0]
    _, table = page(atlas, "data/0/phenotypes.bin")
    texts = page(atlas, "data/0/texts/0.bin")
    _, sites = page(atlas, "data/0/sites/0.bin")
    assert table["mutants"].sum() == len(nsms)
    assert (np.diff(table["mutants"].astype(int)) <= 0).all()
    for number in (0, 17, len(texts) - 1):
        mine = nsms.filter(phenotype=texts[number][0])
        assert table["mutants"][number] == len(mine)
        assert table["loci"][number] == mine.select("layer", "kind").n_unique()
        assert texts[number][1] == mine["text"][0]
        span = slice(sites["start"][number], sites["start"][number + 1])
        found = {
            (
                screen["loci"][locus]["name"],
                *divmod(int(site), screen["loci"][locus]["cols"]),
                screen["mutations"][mutation],
            )
            for locus, site, mutation in zip(
                sites["locus"][span], sites["site"][span], sites["mutation"][span], strict=True
            )
        }
        assert found == {
            (f"{row['layer']}.{row['kind']}", row["row"], row["col"], row["mutation"])
            for row in mine.iter_rows(named=True)
        }


def test_predicted_mutants_are_told_from_those_that_were_run(tmp_path):
    records = records_of({(0, "v"): "+-#.\n.#.+"})
    folder = write_predictions(
        write_screen(tmp_path / "some", records.head(6), shapes={(0, "v"): (2, 4)}), records
    )
    _, arrays = page(Atlas([str(folder)]), "data/0/loci/0.v.bin")
    states = np.concatenate([arrays["max.state"], arrays["min.state"]])
    assert (states & 4 > 0).sum() == len(records) - 6
    assert arrays["max.chance"].max() > 127


def test_a_prediction_notes_norms_and_massive_activations(tmp_path):
    records = records_of({(0, "v"): "+-#.\n.#.+"})
    folder = write_predictions(
        write_screen(tmp_path / "some", records.head(6), shapes={(0, "v"): (2, 4)}), records
    )
    store = ScreenFolder(folder)
    sites = store.baselines()
    assert sites is not None
    _, arrays = page(Atlas([str(folder)]), "data/0/loci/0.v.bin")
    assert arrays["col.input_norm"].tolist() == sites.filter(row=0).sort("col")["input_norm"].to_list()
    assert arrays["col.massive"].tolist() == [0, 0, 1, 0]
    store.files.write_table("baselines.parquet", sites.drop("input_norm", "massive"))
    _, arrays = page(Atlas([str(folder)]), "data/0/loci/0.v.bin")  # earlier versions wrote such files
    assert "col.input_norm" not in arrays


def test_sparse_loci_name_their_sites(tmp_path):
    folder = write_screen(tmp_path / "s", records_of({(0, "v"): "  +\n#  "}), shapes={(0, "v"): (40, 50)})
    _, arrays = page(Atlas([str(folder)]), "data/0/loci/0.v.bin")
    assert arrays["max.site"].tolist() == [2, 50]
    assert arrays["max.state"].tolist() == [2, 2]


def test_orders_are_permutations_and_q_has_a_value_per_line(atlas):
    _, arrays = page(atlas, "data/0/loci/0.gate.bin")
    for axis, length in (("row", 10), ("col", 6)):
        assert sorted(arrays[f"{axis}.order"]) == list(range(length))
        assert len(arrays[f"{axis}.any"]) == length
    assert arrays["col.massive"].tolist() == [0, 0, 1, 0, 0, 0]


def test_lines_have_the_q_of_the_tables(atlas, folders):
    records = ScreenData(folders["drosophila"]).records()
    for hit in HITS:
        tests = nsm_enrichment(records, hit).filter(layer=0, kind="v")
        _, arrays = page(atlas, "data/0/loci/0.v.bin")
        for axis in ("row", "col"):
            wanted = tests.filter(axis=axis).sort("index")["q"].cast(pl.Float32)
            assert (arrays[f"{axis}.{hit}"] == wanted.to_numpy()).all()


def test_every_hostile_text_survives(hostile):
    atlas = Atlas([str(hostile)])
    said = {text for _, text in page(atlas, "data/0/texts/0.bin")}
    assert said == set(ScreenData(hostile).texts().filter(~pl.col("silent"))["text"])


def test_pages_that_stand_in_the_folder_are_those_that_are_made(folders, tmp_path):
    shutil.copytree(folders["drosophila"], tmp_path / "kept")
    made = Atlas([str(tmp_path / "kept")])
    wanted = {path: made.read(path) for path in made.paths() if path != "data/findings.jsonl"}
    assert prepare(tmp_path / "kept")
    assert not prepare(tmp_path / "kept")
    stored = Atlas([str(tmp_path / "kept")])
    assert isinstance(stored.screens[0].pages, StoredPages)
    assert {path: stored.read(path) for path in stored.paths() if path != "data/findings.jsonl"} == wanted


def test_pages_of_fewer_units_are_not_shown(tmp_path):
    folder = write_screen(tmp_path / "grows", records_of({(0, "v"): "+-#."}))
    prepare(folder)
    (shard,) = (folder / "records").glob("*.parquet")
    half = pl.read_parquet(shard).head(4)
    ScreenFolder(folder).write_unit(
        "000001", Shard(half, pl.read_parquet(folder / "phenotypes" / shard.name), None)
    )
    assert page(Atlas([str(folder)]), "data/atlas.json")["screens"][0]["done"] == len(half) + 8


def test_a_panel_has_no_pages(folders):
    with pytest.raises(MutascopeError, match="panel"):
        prepare(folders["panel"])


def test_answers_have_the_probabilities_of_the_store(tmp_path):
    records, wild = as_choice(random_records(1, {"v": (4, 6)}), questions=3)
    told = records.filter(~pl.col("silent")).select(MUTANT_KEY)
    chances = np.random.default_rng(0).random((len(told), 3, 2))
    outputs = pl.concat(
        told.with_columns(
            prompt=pl.lit(question, pl.Int32), p_A=chances[:, question, 0], p_B=chances[:, question, 1]
        )
        for question in range(3)
    )
    folder = write_screen(
        tmp_path / "c", records, wild=wild, prompts=["Q?\n\nWhich?\nA. 1\nB. 2\nAnswer:"] * 3
    )
    unit = ScreenFolder(folder)
    typed = outputs.with_columns(phenotype=pl.lit("x"), first_divergence=pl.lit(None, pl.Int32))
    unit.files.write_table("outputs/000000.parquet", typed)
    atlas = Atlas([str(folder)])
    (screen,) = page(atlas, "data/atlas.json")["screens"]
    assert screen["letters"] == ["A", "B"]
    assert screen["questions"] == ["Which?\nA. 1\nB. 2"] * 3
    _, arrays = page(atlas, "data/0/answers/0.v.bin")
    for place, mutant in enumerate(told.iter_rows(named=True)):
        site = arrays[f"{mutant['mutation']}.site"].tolist().index(mutant["row"] * 6 + mutant["col"])
        found = arrays[f"{mutant['mutation']}.p"][site]
        assert (found == np.round(255 * chances[place])).all()


def test_a_panel_has_all_outputs_of_its_mutants(folders):
    atlas = Atlas([str(folders["drosophila"]), str(folders["panel"])])
    index = page(atlas, "data/atlas.json")
    (panel,) = index["panels"]
    assert [screen["label"] for screen in index["screens"]] == ["drosophila"]
    results = ScreenData(folders["panel"])
    texts = results.outputs().join(results.phenotypes(), on="phenotype")
    for number in (0, len(panel["mutants"]) - 1):
        mutant = asdict(Mutant.parse(panel["mutants"][number]))
        wanted = texts.filter(**mutant).sort("prompt")["continuation"].to_list()
        assert page(atlas, f"data/panels/0/{number}.bin") == wanted
    assert len(panel["prompts"]) == len(panel["wild_type"]) == len(wanted)


def test_a_panel_within_a_screen_is_shown_with_it(folders, tmp_path):
    shutil.copytree(folders["drosophila"], tmp_path / "flies")
    shutil.copytree(folders["panel"], tmp_path / "flies" / "panel")
    assert [panel.label for panel in Atlas([str(tmp_path / "flies")]).panels] == ["flies, panel"]


def test_findings_name_the_place_that_they_speak_of(atlas):
    sections = [json.loads(line) for line in atlas.read("data/findings.jsonl").splitlines()]
    found = [finding for section in sections for finding in section["sentences"]]
    assert found
    loci = {locus["name"] for screen in page(atlas, "data/atlas.json")["screens"] for locus in screen["loci"]}
    assert all(finding["locus"] is None or finding["locus"] in loci for finding in found)
    assert all(finding["sentence"] for finding in found)


def test_findings_are_made_once_and_read_while_they_are_made():
    making = iter([b"1", b"2", b"3"])
    told = Told(making)
    first, second = iter(told), iter(told)
    assert [next(first), next(first), next(second)] == [b"1", b"2", b"1"]
    assert next(making) == b"3"
    assert (list(first), list(second), list(told)) == ([], [b"2"], [b"1", b"2"])


def test_a_screen_that_cannot_be_read_is_told_among_the_findings(tmp_path):
    atlas = Atlas([str(write_screen(tmp_path / "gone", records_of({(0, "v"): "+-#."})))])
    for shard in (tmp_path / "gone" / "records").iterdir():
        shard.unlink()
    (line,) = atlas.read("data/findings.jsonl").splitlines()
    assert json.loads(line)["refused"]


def test_a_sentence_is_of_the_screen_that_it_names_in_full(tmp_path):
    folders = [write_screen(tmp_path / name, records_of({(0, "v"): "+-#."})) for name in ("demo", "demo2")]
    screens = Atlas([str(folder) for folder in folders]).screens
    assert place_of("0.v in demo2.", screens) == {"screen": 1, "locus": "0.v", "line": None}
    assert place_of("0.v in demo.", screens) == {"screen": 0, "locus": "0.v", "line": None}
    assert place_of("0.v in demo and demo2", screens)["screen"] is None


def test_a_sentence_is_of_the_line_that_it_names(tmp_path):
    screens = Atlas([str(write_screen(tmp_path / "demo", records_of({(0, "v"): "+-#."})))]).screens
    told = "Column 3 of down.e2 is enriched in NSM sites in 2 of 2 layers (demo, q = 0.01)."
    assert place_of(told, screens) == {"screen": 0, "locus": None, "line": "col,3,down.e2"}


def test_what_was_added_since_is_seen(tmp_path):
    maps = {(0, "v"): "+-#."}
    folder = write_screen(tmp_path / "grows", records_of(maps))
    atlas = Atlas([str(folder)])
    before = page(atlas, "data/atlas.json")["screens"][0]["done"]
    (shard,) = (folder / "records").glob("*.parquet")
    half = pl.read_parquet(shard).head(4)
    texts = pl.read_parquet(folder / "phenotypes" / shard.name)
    ScreenFolder(folder).write_unit("000001", Shard(half, texts, None))
    atlas.refresh()
    assert page(atlas, "data/atlas.json")["screens"][0]["done"] == before + 4


def test_a_panel_that_has_come_into_a_screen_or_grown_is_seen(folders, tmp_path):
    home = tmp_path / "flies"
    shutil.copytree(folders["drosophila"], home)
    atlas = Atlas([str(home)])
    assert atlas.panels == []
    shutil.copytree(folders["panel"], home / "panel")
    atlas.refresh()
    (panel,) = atlas.panels
    atlas.refresh()
    assert atlas.panels == [panel]
    store = ScreenFolder(home / "panel")
    store.write_manifest(store.manifest().model_copy(update={"libraries": {"torch": "9"}}))
    atlas.refresh()
    assert atlas.panels[0].stamp != panel.stamp


@pytest.mark.parametrize(
    "path",
    [
        "manifest.json",
        "../manifest.json",
        "data/9/overview.bin",
        "data/-1/overview.bin",
        "data/0/loci/9.v.bin",
        "data/0/loci/../../manifest.json",
        "data/0/texts/99.bin",
        "data/0/texts/²9.bin",
        "data/0/other.bin",
        "data/²/overview.bin",
        "data/panels/0/99.bin",
        "data/panels/0/²9.bin",
        "data/panels/9/0.bin",
        "data/0/answers/0.v.bin",
        "data/0/words/99.bin",
        "__init__.py",
    ],
)
def test_there_is_nothing_else(atlas, path):
    with pytest.raises(KeyError):
        atlas.read(path)


def test_the_site_holds_every_page(folders, tmp_path):
    told = []
    write_site([str(folders["newton"])], tmp_path / "site", tell=told.append)
    atlas = Atlas([str(folders["newton"])], served=False)
    for path in atlas.paths():
        assert (tmp_path / "site" / path).read_bytes() == atlas.read(path)
    assert not json.loads((tmp_path / "site/data/atlas.json").read_text())["served"]
    assert "files" in told[0]


def test_a_folder_that_holds_something_is_left_alone(folders, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(MutascopeError, match="not an empty folder"):
        write_site([str(folders["newton"])], tmp_path)


def test_panels_are_no_maps(folders):
    with pytest.raises(MutascopeError, match="no maps"):
        Atlas([str(folders["panel"])])
