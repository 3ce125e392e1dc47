"""The null model: the same elements in other places, and nothing else changed."""

import hashlib

import numpy as np
import pytest
import torch

from builders import tiny_model
from mutascope import Design, MutascopeError, Screen, ScreenData, TextAssay, load_model
from mutascope.model.loading import fingerprint
from mutascope.model.matrices import matrix_of
from mutascope.model.shuffling import shuffle
from mutascope.run.screen import Finished
from mutascope.run.verify import replay

ASSAY = TextAssay(name="short", prompt="Once upon a time:", max_new_tokens=5)
DESIGN = Design(layers=(1,), kinds=("v",))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_elements_move_within_their_locus_and_nowhere_else(family, tmp_path):
    """Plain, transposed, and fused by head."""
    model = load_model(str(tiny_model(tmp_path, family)))
    wild = {locus.name: matrix_of(model.network, locus).clone() for locus in model.genome}
    held = {locus.parameter for locus in model.genome}
    others = {name: value.clone() for name, value in model.network.named_parameters() if name not in held}
    chosen = [locus for locus in model.genome if locus.layer == 1]
    null = shuffle(model, chosen, seed=3)
    for locus in model.genome:
        now = matrix_of(null.network, locus)
        if locus.layer != 1:
            assert torch.equal(now, wild[locus.name])
            continue
        digest = hashlib.sha256(f"{locus.name} 3".encode()).digest()[:8]
        order = np.random.default_rng(int.from_bytes(digest, "big")).permutation(now.numel())
        expected = wild[locus.name].numpy().ravel()[order].reshape(now.shape)
        assert np.array_equal(now.numpy(), expected)
        assert not torch.equal(now, wild[locus.name])
    for name, value in others.items():
        assert torch.equal(null.network.get_parameter(name), value)
    assert null.fingerprint == fingerprint(null.network) != model.fingerprint
    assert null.description["shuffled"] == {
        "of": model.fingerprint,
        "seed": 3,
        "loci": [locus.name for locus in chosen],
    }


def test_a_null_screen_is_resumed_reopened_and_checked_as_any_other(llama, llama_folder, tmp_path):
    out, before = tmp_path / "out", fingerprint(llama.network)
    screen = Screen(llama, ASSAY, DESIGN, tile=12, null_seed=0)
    assert screen.run(out, quiet=True).fresh == 16
    assert fingerprint(llama.network) == before, "a model that is given stays as it is"
    (out / "records" / "000000.parquet").unlink()
    again = Screen(str(llama_folder), ASSAY, DESIGN, tile=12, null_seed=0)
    assert again.run(out, quiet=True) == Finished(16, 16)
    data = ScreenData(out)
    told = data.manifest.model.shuffled
    assert told is not None
    assert (told.of, told.seed, told.loci) == (llama.fingerprint, 0, ["1.v"])
    assert Screen.reopen(data).model.fingerprint == data.manifest.model.fingerprint != llama.fingerprint
    assert replay(data, 4) == []


@pytest.mark.parametrize("seed", [None, 1])
def test_a_null_screen_is_not_continued_as_another_one(seed, llama, tmp_path):
    Screen(llama, ASSAY, DESIGN, tile=12, null_seed=0).run(tmp_path / "out", quiet=True)
    with pytest.raises(MutascopeError, match="holds another screen"):
        Screen(llama, ASSAY, DESIGN, tile=12, null_seed=seed).run(tmp_path / "out", quiet=True)


def test_the_command_takes_a_seed(cli, llama_folder, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "short.yaml").write_text("prompt: 'Once upon a time:'\nmax_new_tokens: 5\n")
    options = ("--assay", tmp_path / "short.yaml", "--layers", 1, "--kinds", "v", "--tile", 24, "--out", out)
    assert cli("screen", "--model", llama_folder, "--null", 7, *options).code == 0
    told = ScreenData(out).manifest.model.shuffled
    assert told is not None
    assert told.seed == 7
    status = cli("status", out).out
    assert "1.v shuffled" in status
