"""The Python API, as in a notebook."""

from typing import Any

import matplotlib.figure
import polars as pl
import pytest
import torch

from builders import copy_model, tiny_model
from mutascope import Design, Model, Mutant, MutascopeError, Screen, ScreenData, TextAssay, load_model
from mutascope.core.schema import MUTANT_KEY
from mutascope.figures import draw_map, draw_sheet
from mutascope.model.loading import fingerprint
from mutascope.run.screen import Finished
from mutascope.run.shards import Shard
from mutascope.store.files import Files

ASSAY = TextAssay(name="short", prompt="Once upon a time:", max_new_tokens=5)
DESIGN = Design(layers=(0, 1), kinds=("v", "down"), rows=(0, 1), cols=(0, 1))


@pytest.fixture(scope="module")
def screen(llama, tmp_path_factory) -> Screen:
    screen = Screen(llama, ASSAY, DESIGN, tile=12, engine="reference")
    screen.run(tmp_path_factory.mktemp("screen") / "out", quiet=True)
    return screen


def test_a_screen_from_names_alone(llama_folder, tmp_path):
    screen = Screen(model=str(llama_folder), assay=ASSAY, design=Design(sample=2))
    assert screen.tiling.tile == 1  # auto: the hidden size is 48
    assert screen.run(tmp_path / "out", quiet=True) == Finished(4, 4)
    assert screen.run(tmp_path / "out", quiet=True) == Finished(0, 4)


def test_records_are_a_row_per_mutant_in_design_order(screen):
    records = screen.records()
    assert records.columns == [
        "layer",
        "kind",
        "row",
        "col",
        "mutation",
        "silent",
        "first_divergence",
        "phenotype",
    ]
    coordinates = [Mutant(*row) for row in records.select(*MUTANT_KEY).iter_rows()]
    assert coordinates == screen.plan.mutants()
    assert len(records) == 2 * 2 * 4 * 2
    wild = screen.results.manifest.wild_type[0].phenotype
    assert (records["silent"] == (records["phenotype"] == wild)).all()
    assert records.filter(silent=False)["first_divergence"].null_count() == 0


def test_a_start_reads_every_record_once(llama, tmp_path, monkeypatch):
    out, read, table = tmp_path / "out", [], Files.read_table
    Screen(llama, ASSAY, DESIGN, tile=12, engine="reference").run(out, quiet=True)
    units = sorted((out / "records").iterdir())
    units[-1].unlink()

    def noted(files, name, schema, columns=None):
        read.append((name, columns and [*columns]))
        return table(files, name, schema, columns)

    def nobody(*_, **__):
        raise AssertionError("there is nothing to run")

    monkeypatch.setattr(Files, "read_table", noted)
    left = next(shard for shard in (Shard(1, 2), Shard(2, 2)) if not shard.holds(len(units) - 1))
    screen = Screen(llama, ASSAY, DESIGN, tile=12, engine="reference")
    assert screen.run(out, quiet=True, executor=nobody, shard=left).left == 1
    assert [name for name, _ in read if "records" in name] == [f"records/{unit.name}" for unit in units[:-1]]
    read.clear()
    screen.home.silent(screen.home.finished_units())
    assert {tuple(columns or ()) for _, columns in read} == {("silent",)}


def test_the_default_folder_is_named_after_model_assay_and_design(llama, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    screen = Screen(llama, ASSAY, Design(sample=1), tile=16)
    screen.run(quiet=True)
    (folder,) = (tmp_path / "screens").iterdir()
    assert folder.name == f"llama-short-{screen.plan.digest[:8]}"


def test_a_screen_at_a_url(llama, tmp_path):
    url = f"memory://{tmp_path.name}/screen"
    first = Screen(llama, ASSAY, DESIGN, tile=12, engine="reference")
    first.run(url, quiet=True)
    local = Screen(llama, ASSAY, DESIGN, tile=12, engine="reference")
    local.run(tmp_path / "local", quiet=True)
    assert ScreenData(url).texts().equals(local.results.texts())
    first.folder.files.remove("records/000001.parquet")  # pyright: ignore[reportOptionalMemberAccess]
    assert not ScreenData(url).finished
    again = Screen(llama, ASSAY, DESIGN, tile=12, engine="reference")
    assert again.run(url, quiet=True) == Finished(16, 32)
    assert ScreenData(url).records().equals(local.records())
    with pytest.raises(MutascopeError, match="holds another screen"):
        Screen(llama, ASSAY, DESIGN, tile=6, engine="reference").run(url, quiet=True)


def test_a_list_of_mutants_is_kept_with_the_screen(llama, tmp_path):
    wanted = [Mutant(1, "up", 3, 2, "zero"), Mutant(0, "q", 0, 1, "random"), Mutant(0, "q", 0, 1, "noop")]
    pl.DataFrame(wanted).write_csv(tmp_path / "list.csv")
    screen = Screen(llama, ASSAY, Design(mutants=str(tmp_path / "list.csv")), tile=12, engine="reference")
    screen.run(tmp_path / "out", quiet=True)
    stored = pl.read_parquet(tmp_path / "out" / "mutants.parquet")
    assert [Mutant(*row) for row in stored.iter_rows()] == wanted
    records = screen.records()
    assert records["mutation"].to_list() == ["zero", "random", "noop"]
    assert records.filter(mutation="noop")["silent"].all()
    # the same list from another file is the same screen; another list is not
    pl.DataFrame(wanted).write_parquet(tmp_path / "copy.parquet")
    again = Screen(llama, ASSAY, Design(mutants=str(tmp_path / "copy.parquet")), tile=12, engine="reference")
    assert again.run(tmp_path / "out", quiet=True) == Finished(0, 3)
    pl.DataFrame(wanted[:2]).write_csv(tmp_path / "less.csv")
    other = Screen(llama, ASSAY, Design(mutants=str(tmp_path / "less.csv")), tile=12, engine="reference")
    with pytest.raises(MutascopeError, match=r"design\.sha256"):
        other.run(tmp_path / "out", quiet=True)


def test_noop_mutants_are_silent_everywhere(llama, tmp_path):
    screen = Screen(llama, ASSAY, Design(layers=(1,), mutations=("noop",)), tile=24, engine="reference")
    screen.run(tmp_path / "out", quiet=True)
    assert screen.records()["silent"].all()
    assert screen.records()["first_divergence"].null_count() == len(screen.records())


def test_maps_are_of_the_locus_and_can_be_drawn(screen):
    data = screen.map(1, "down")
    assert (data.name, data.tile) == ("1.down", screen.tiling.tile)
    assert isinstance(draw_map(data), matplotlib.figure.Figure)
    assert isinstance(draw_sheet(screen.results.maps()), matplotlib.figure.Figure)
    with pytest.raises(MutascopeError, match=r"has no locus 2\.v"):
        screen.map(2, "v")


def test_a_mutant_is_lent_and_given_back(screen):
    llama = screen.model
    before = fingerprint(llama.network)
    weight = llama.network.model.layers[1].mlp.down_proj.weight
    wild = weight.detach().clone()
    with screen.mutant("1.down:2,3:max") as network:
        assert network is llama.network
        changed = weight != wild
        assert changed[24:36, 36:48].any()
        assert (weight[24:36, 36:48] == wild.max()).all()
        changed[24:36, 36:48] = False
        assert not changed.any()
        with screen.mutant(Mutant(0, "q", 0, 0, "zero")):
            assert (network.model.layers[0].self_attn.q_proj.weight[:12, :12] == 0).all()
    assert fingerprint(llama.network) == before
    with pytest.raises(ZeroDivisionError), screen.mutant("1.down:2,3:max"):
        raise ZeroDivisionError
    assert fingerprint(llama.network) == before


@pytest.mark.parametrize(
    "name, words",
    [
        ("1.down:4,0:max", "impossible site"),
        ("9.down:0,0:max", "layer 9 is out of range"),
        ("1.gat:0,0:max", "unknown kind 'gat'"),
        ("1.down:0,0:mx", "unknown mutation 'mx'"),
        ("down", "is not a mutant"),
    ],
)
def test_an_impossible_mutant_is_refused(screen, name, words):
    with pytest.raises(MutascopeError, match=words), screen.mutant(name):
        pass


def test_what_a_mutant_says_outside_a_screen_is_what_the_screen_recorded(screen):
    records = screen.results.texts().filter(silent=False)
    row = records.row(0, named=True)
    tokens = torch.tensor([screen.resolved.prompts[0].tokens])
    with screen.mutant(Mutant(row["layer"], row["kind"], row["row"], row["col"], row["mutation"])) as network:
        torch.manual_seed(0)
        sequence = network.generate(
            tokens, max_new_tokens=5, do_sample=True, attention_mask=torch.ones_like(tokens)
        )
    assert screen.model.tokenizer.decode(sequence[0]) == row["text"]


def test_results_before_a_run_are_a_plain_error(llama):
    with pytest.raises(MutascopeError, match="has not been run yet"):
        Screen(llama, ASSAY, DESIGN).records()


def test_wrong_names_are_refused_before_the_model_is_loaded():
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"model": "nobody", "assay": "drosofila"}, "unknown assay"),
        ({"model": "nobody", "assay": "newton", "design": Design(mutations=("mx",))}, "unknown mutation"),
        ({"model": "nobody", "assay": "newton", "tile": "many"}, "tile must be"),
        ({"model": "nobody", "assay": "newton", "engine": "warp"}, "unknown engine"),
        ({"model": "nobody", "assay": "newton", "tiel": 8}, "unknown key 'tiel'; did you mean 'tile'"),
    )
    for arguments, words in cases:
        with pytest.raises(MutascopeError, match=words):
            Screen(**arguments)


def test_nothing_is_loaded_before_it_is_needed():
    screen = Screen("nobody", "newton", Design(sample=2))
    assert repr(screen) == "Screen of nobody in newton: sample design, tile auto, fast engine, not run yet"
    assert "nobody" in screen._repr_html_()
    with pytest.raises(MutascopeError, match="unknown model 'nobody'"):
        _ = screen.model


def test_a_loaded_model_is_of_the_dtype_and_device_that_are_asked_for(llama):
    assert Screen(llama, ASSAY, dtype="float32", device="cpu").spec.dtype == "float32"
    with pytest.raises(MutascopeError, match="was loaded with dtype float32, not bfloat16: load it again"):
        Screen(llama, ASSAY, dtype="bfloat16")
    with pytest.raises(MutascopeError, match="was loaded with device cpu, not cuda"):
        Screen(llama, ASSAY, device="cuda:1")


@pytest.mark.parametrize("tile", [0, "0", "many", "-3"])
def test_an_impossible_tile(llama, tile):
    with pytest.raises(MutascopeError, match="tile must be"):
        Screen(llama, ASSAY, DESIGN, tile=tile)


# what people read


def test_objects_print_as_something_a_person_can_read(screen, llama):
    text = repr(screen)
    for words in (
        "short",
        "32 mutants",
        "4 loci",
        "tile 12",
        "max/min",
        "reference engine",
        screen.folder.path,
    ):
        assert words in text
    assert "not run yet" in repr(Screen(llama, ASSAY, DESIGN))
    results = repr(screen.results)
    for words in ("short", "32 of 32 stored", "finished", llama.fingerprint[:12]):
        assert words in results
    assert "LlamaForCausalLM" in repr(llama)
    assert "21 loci" in repr(llama)
    assert "float32" in repr(llama)


NASTY = "<script>alert('x')</script>&\""


def test_html_escapes_names(llama_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "<script>alert(1)<" / "b"
    folder.parent.mkdir()
    copy_model(llama_folder, folder)
    assay = ASSAY.model_copy(update={"name": NASTY})
    screen = Screen(str(folder), assay, Design(sample=1), tile=16, engine="reference")
    screen.run(tmp_path / "<script>out", quiet=True)
    for html in (screen._repr_html_(), screen.results._repr_html_()):
        assert "<script" not in html
        assert "&lt;script&gt;" in html
        assert "<table>" in html
        assert html.count("<tr>") == html.count("</tr>") >= 5
    draw_map(
        screen.map(screen.plan.loci[0].layer, screen.plan.loci[0].kind)
    )  # and titles take the name as it is


# models


def test_a_fingerprint_tells_weights_apart_and_copies_not(llama, llama_folder, tmp_path):
    copy = load_model(str(copy_model(llama_folder, tmp_path / "copy")))
    assert copy.fingerprint == llama.fingerprint == fingerprint(llama.network)
    other = load_model(str(tiny_model(tmp_path / "other", "llama", seed=1)))
    assert other.fingerprint != llama.fingerprint
    half = load_model(str(llama_folder), dtype="bfloat16")
    assert half.fingerprint != llama.fingerprint
    assert half.dtype == "bfloat16"
    bit = copy.network.model.norm.weight
    bit.view(torch.int32)[7] ^= 1
    assert fingerprint(copy.network) != llama.fingerprint


def test_a_fingerprint_is_that_of_the_format(llama):
    """docs/format.md, model: written out independently."""
    import hashlib

    digest = hashlib.sha256()
    for name in sorted(dict(llama.network.named_parameters())):
        array = dict(llama.network.named_parameters())[name].detach().numpy()
        digest.update(f"{name} torch.float32 {array.shape}\n".encode() + array.tobytes(order="C"))
    assert digest.hexdigest() == llama.fingerprint


def test_weights_are_float32_whatever_the_checkpoint_holds(tmp_path):
    folder = tiny_model(tmp_path / "model", "llama")
    network = load_model(str(folder), dtype="bfloat16").network
    network.save_pretrained(folder)
    model = load_model(str(folder))
    assert model.dtype == "float32"
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.network.parameters())
    assert not model.network.training


def test_the_default_model_is_what_it_says(smollm2: Model):
    assert len(smollm2.genome) == 210
    assert smollm2.genome.kinds == ["q", "k", "v", "o", "gate", "up", "down"]
    shapes = {locus.kind: (locus.rows, locus.cols) for locus in smollm2.genome if locus.layer == 29}
    assert shapes["k"] == (192, 576)
    assert shapes["down"] == (576, 1536)
    assert smollm2.dtype == "float32"
    assert smollm2.fingerprint == fingerprint(smollm2.network)
