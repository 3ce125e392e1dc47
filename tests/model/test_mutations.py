"""What is written over a tile, and that nothing of it is left afterwards."""

import hashlib
import signal
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from builders import tiny_network
from mutascope import Mutant, MutascopeError, Tiling
from mutascope.core.operators import OPERATORS, Operator, check_mutations
from mutascope.model.discovery import find_genome
from mutascope.model.loading import fingerprint
from mutascope.model.matrices import features_of, parameter_of
from mutascope.model.mutations import Mutagen, Tile, new_values

TILE = 10
FAMILIES = ("llama", "gpt2", "gpt_neox", "phi3")


def mutagen_of(network, tile: int = TILE) -> Mutagen:
    return Mutagen(network, find_genome(network), Tiling(tile))


@pytest.fixture(scope="module")
def networks():
    return {family: tiny_network(family) for family in FAMILIES}


def raw_bytes(network) -> bytes:
    """Every byte of every parameter, in order of name."""
    parameters = sorted(network.named_parameters())
    return b"".join(
        p.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes() for _, p in parameters
    )


def make_odd(network) -> None:
    """Put numbers into every parameter that a copy through arithmetic would change: NaN payloads, -0.0, denormals."""
    odd = [0x7FC12345, 0xFFC00001, 0x7F812345, 0x80000000, 0x00000001, 0x7F800000]
    values = torch.from_numpy(np.array(odd, dtype=np.uint32).view(np.float32))
    with torch.no_grad():
        for parameter in network.parameters():
            flat = parameter.view(-1)
            flat[: len(values)] = values
            flat[-len(values) :] = values


# values


@pytest.mark.parametrize("mutation", ["max", "min", "zero", "noop"])
@pytest.mark.parametrize("site", [(0, 0), (1, 2), (4, 4)], ids=["first", "inner", "ragged corner"])
def test_each_mutation_writes_its_value_over_the_tile_and_nothing_else(networks, mutation, site):
    network = networks["llama"]
    weight = network.model.layers[1].self_attn.q_proj.weight
    wild = weight.detach().clone()
    expected = wild.clone()
    rows, cols = (slice(i * TILE, min((i + 1) * TILE, 48)) for i in site)
    values = {"max": wild.max(), "min": wild.min(), "zero": 0.0, "noop": wild[rows, cols]}
    expected[rows, cols] = values[mutation]
    with mutagen_of(network).mutated(Mutant(1, "q", *site, mutation=mutation)) as mutated:
        assert mutated is network
        assert torch.equal(weight, expected)
    assert torch.equal(weight, wild)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mutation", ["max", "random", "turned", "flat"])
def test_edited_rows_are_those_of_the_edited_matrix(networks, family, mutation, monkeypatch):
    """Also where an operator returns what it is shown, seen in another way."""
    monkeypatch.setitem(OPERATORS, "turned", Operator(write=lambda tile: tile.values.T))
    monkeypatch.setitem(
        OPERATORS, "flat", Operator(write=lambda tile: tile.values.reshape(-1).flip(0).view(TILE, TILE))
    )
    mutagen, mutant = mutagen_of(networks[family]), Mutant(1, "q", 1, 2, mutation)
    top, rows = mutagen.edited_rows(mutant)
    locus = mutagen.locus(mutant)
    with mutagen.mutated(mutant) as mutated:
        own = features_of(locus, top, top + len(rows))
        assert top == TILE
        assert torch.equal(rows, parameter_of(mutated, locus)[own])


def test_max_and_min_are_of_the_locus_not_of_the_fused_parameter(networks):
    network = networks["gpt2"]
    fused = network.transformer.h[0].attn.c_attn.weight
    queries, keys = fused[:, :48].detach().clone(), fused[:, 48:96].detach().clone()
    assert queries.max() != keys.max()
    with mutagen_of(network).mutated(Mutant(0, "k", 0, 0, "max")):
        assert (fused[:TILE, 48 : 48 + TILE] == keys.max()).all()
        assert torch.equal(fused[:, :48], queries)


def test_extremes_are_those_of_the_wild_type_even_inside_another_mutation(networks):
    network = networks["llama"]
    weight = network.model.layers[0].mlp.up_proj.weight
    wild = weight.detach().clone()
    row, col = (wild == wild.max()).nonzero()[0].tolist()
    mutagen = mutagen_of(network)
    with mutagen.mutated(Mutant(0, "up", row // TILE, col // TILE, "zero")):
        assert weight.max() < wild.max()
        other = (row // TILE + 1) % 8
        with mutagen.mutated(Mutant(0, "up", other, 0, "max")):
            assert (weight[other * TILE : (other + 1) * TILE, :TILE] == wild.max()).all()


@given(
    values=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=12),
    maximum=st.floats(3.5, 100, width=32),
    seed=st.integers(0, 2**56 - 1),
)
def test_random_changes_the_tile_as_much_as_max(values, maximum, seed):
    tile = Tile(torch.tensor([values]), torch.tensor(maximum), torch.tensor(-9.0), seed)
    random, filled = new_values("random", tile), new_values("max", tile)
    size = (random - tile.values).double().norm()
    assert size == pytest.approx(float((filled - tile.values).double().norm()), rel=1e-5)
    assert torch.equal(random, new_values("random", tile))


def test_random_is_deterministic_and_differs_between_sites(networks):
    mutants = [Mutant(layer, kind, row, 1, "random") for layer in (0, 2) for kind in "qo" for row in (0, 1)]
    first = [mutagen_of(networks["llama"]).replacement(mutant) for mutant in mutants]
    again = [mutagen_of(networks["llama"]).replacement(mutant) for mutant in mutants[::-1]][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    wild = [mutagen_of(networks["llama"]).wild_type_tile(mutant) for mutant in mutants]
    directions = torch.stack([((a - b) / (a - b).norm()).view(-1) for a, b in zip(first, wild, strict=True)])
    assert (directions @ directions.T - torch.eye(len(mutants))).abs().max() < 0.5


def test_random_is_the_noise_of_its_site_name(networks):
    """ScreenData of one release must be repeatable with the next: the recipe, written out independently."""
    mutagen, mutant = mutagen_of(networks["llama"]), Mutant(1, "v", 2, 3, "random")
    wild = networks["llama"].model.layers[1].self_attn.v_proj.weight[20:24, 30:40].double()
    seed = struct.unpack(">Q", b"\0" + hashlib.sha256(b"1.v:2,3").digest()[:7])[0]
    noise = torch.randn(4, 10, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    maximum = networks["llama"].model.layers[1].self_attn.v_proj.weight.max().double()
    expected = wild + noise * ((maximum - wild).pow(2).sum().sqrt() / noise.pow(2).sum().sqrt())
    assert torch.allclose(mutagen.replacement(mutant), expected.float(), rtol=1e-6)


def test_an_unknown_mutation_is_refused_with_the_nearest_name():
    with pytest.raises(MutascopeError, match="unknown mutation 'maxx': did you mean 'max'"):
        check_mutations(["min", "maxx"])


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_has_a_fill_or_a_function(name):
    assert (OPERATORS[name].fill is None) != (OPERATORS[name].write is None)


def test_fills_keep_every_bit():
    values = torch.tensor([[-0.0, 1e-45, 0.1, -3.0]])
    tile = Tile(values, torch.tensor(-0.0), torch.tensor(0.3), 0)
    written = {name: new_values(name, tile) for name in ("max", "min", "zero", "noop")}
    assert raw(written["noop"]) == raw(values)
    assert written["noop"].data_ptr() != values.data_ptr()
    assert raw(written["zero"]) == raw(torch.zeros(1, 4))
    assert raw(written["max"]) == raw(torch.full((1, 4), -0.0))
    assert raw(written["min"]) == raw(torch.full((1, 4), 0.3))


def raw(values: torch.Tensor) -> bytes:
    return values.contiguous().numpy().tobytes()


# undo


class Broken(Exception):
    pass


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("error", [None, Broken, KeyboardInterrupt, SystemExit])
def test_undo_restores_every_bit_whatever_the_body_does(family, error):
    network = tiny_network(family)
    make_odd(network)
    before, digest = raw_bytes(network), fingerprint(network)
    mutagen = mutagen_of(network)
    for locus in list(mutagen.loci.values())[:6]:
        rows, cols = mutagen.tiling.grid(locus)
        for mutation in OPERATORS:
            for site in ((0, 0), (rows - 1, cols - 1)):
                try:
                    with mutagen.mutated(Mutant(locus.layer, locus.kind, *site, mutation)):
                        if mutation == "zero":
                            assert raw_bytes(network) != before
                        if error is not None:
                            raise error
                except (Broken, KeyboardInterrupt, SystemExit) as raised:
                    assert type(raised) is error  # noqa: PT017
                assert raw_bytes(network) == before
    assert fingerprint(network) == digest


@given(
    data=st.data(),
    family=st.sampled_from(FAMILIES),
    tile=st.integers(1, 60),
    depth=st.integers(1, 4),
)
def test_nested_mutations_are_undone_bit_for_bit(networks, data, family, tile, depth):
    network = networks[family]
    before = raw_bytes(network)
    mutagen = mutagen_of(network, tile)

    def nest(level: int) -> None:
        if not level:
            raise Broken
        locus = data.draw(st.sampled_from(list(mutagen.loci.values())))
        rows, cols = mutagen.tiling.grid(locus)
        row, col = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
        mutation = data.draw(st.sampled_from(list(OPERATORS)))
        here = raw_bytes(network)
        try:
            with mutagen.mutated(Mutant(locus.layer, locus.kind, row, col, mutation)):
                nest(level - 1)
        finally:
            assert raw_bytes(network) == here

    with pytest.raises(Broken):
        nest(depth)
    assert raw_bytes(network) == before


def test_a_real_ctrl_c_during_many_mutations_leaves_the_weights_whole():
    """A timer interrupts at moments that have nothing to do with the code that it interrupts."""
    network = tiny_network("gpt_neox")
    mutagen = mutagen_of(network, tile=5)
    before = raw_bytes(network)
    mutants = [Mutant(0, "q", row, col, "max") for row in range(9) for col in range(9)]
    arrived = 0
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for moment in range(150):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.00007 * moment)
                for mutant in mutants * 20:
                    with mutagen.mutated(mutant):
                        pass
            except KeyboardInterrupt:
                arrived += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            assert raw_bytes(network) == before
    finally:
        signal.signal(signal.SIGALRM, old)
    assert arrived > 100


def test_a_mutant_outside_the_genome_is_a_plain_error_and_changes_nothing(networks):
    before = raw_bytes(networks["llama"])
    with pytest.raises(KeyError), mutagen_of(networks["llama"]).mutated(Mutant(9, "q", 0, 0, "max")):
        pass
    assert raw_bytes(networks["llama"]) == before
