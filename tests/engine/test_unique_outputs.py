"""A mutant has one output, and one row of logits, whatever it is run with."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from itertools import zip_longest

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_fast import MUTATIONS, SAMPLING

from builders import known_families, tiny_model, tiny_network
from mutascope.assays import Resolved, TextAssay, load_assay
from mutascope.core.design import Design
from mutascope.core.genome import Mutant, Tiling
from mutascope.core.protocol import Output
from mutascope.engine import verification
from mutascope.engine.decoder import Decoder
from mutascope.engine.edits import Edits, edit_of, written
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.discovery import find_genome
from mutascope.model.loading import Model, load_model
from mutascope.model.mutations import Mutagen
from mutascope.numerics import cpu
from mutascope.numerics.install import numerics_of
from mutascope.numerics.sampling import Sampler

FAMILIES = known_families()
DTYPES = ("float32", "bfloat16")
Found = dict[Mutant, tuple[Output, ...]]


class Runner:
    """Runs mutants of one assay on engines that know nothing of one another."""

    def __init__(self, model: Model, tiling: Tiling, assay: Resolved) -> None:
        self.model, self.tiling, self.assay = model, tiling, assay

    def run(self, *batches: Sequence[Mutant], max_batch: int | None = None) -> Found:
        engine = FastEngine(self.model, self.tiling, max_batch)
        session = engine.prepare(self.assay.prompts, self.assay.readout)
        found = [outcome for batch in batches for outcome in session.run(batch)]
        assert len(found) == sum(map(len, batches))
        return {outcome.mutant: outcome.outputs for outcome in found}

    def in_short_passes(self, mutants: Sequence[Mutant], positions: int, rows: int, max_batch: int) -> Found:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(verification, "_SHORTEST", positions)
            patch.setattr(cpu, "SIZES", cpu.SIZES._replace(tokens=positions, verified=rows))
            return self.run(mutants, max_batch=max_batch)

    def truth(self, mutants: Sequence[Mutant]) -> Found:
        reference = ReferenceEngine(self.model, self.tiling)
        session = reference.prepare(self.assay.prompts, self.assay.readout)
        return {outcome.mutant: outcome.outputs for outcome in session.run(mutants)}

    def check(
        self, mutants: list[Mutant], others: list[Mutant], max_batch: int, sizes: Sequence[int]
    ) -> Found:
        """Run mutants in many ways, assert that each has one output, and return these."""
        found = self.run(mutants)
        shuffled = random.Random(max_batch).sample(mutants, len(mutants))
        mixed = [one for pair in zip_longest(others, shuffled) for one in pair if one]
        mixed = list(dict.fromkeys(mixed))
        assert self.run(shuffled, max_batch=max_batch) == found
        for size in sizes:
            batches = [mutants[first : first + size] for first in range(0, len(mutants), size)]
            assert self.run(*batches, max_batch=max_batch) == found, size
        again = self.run(mixed, max_batch=max_batch)
        assert {mutant: again[mutant] for mutant in mutants} == found
        return found


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    family=st.sampled_from(FAMILIES),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 10_000),
    tile=st.integers(1, 30),
    vocabulary=st.sampled_from([None, 4200]),
    sampling=SAMPLING,
    length=st.integers(2, 24),
    max_batch=st.integers(1, 20),
    measure=st.booleans(),
)
def test_a_mutant_has_one_output(family, dtype, seed, tile, vocabulary, sampling, length, max_batch, measure):
    changes = {"vocab_size": vocabulary} if vocabulary else {}
    with tempfile.TemporaryDirectory() as folder:
        path = tiny_model(folder, family, seed, std=0.2, **changes)
        model = load_model(str(path), device="cpu", dtype=dtype)
    tiling = Tiling(tile)
    assay = TextAssay(name="t", prompt="The life cycle", seed=seed, max_new_tokens=length, **sampling)
    runner = Runner(model, tiling, assay.resolve(model, measure=measure))
    mutants, others = (
        Design(sample=3, sample_seed=some, mutations=MUTATIONS).plan(model.genome, tiling).mutants()
        for some in (seed, seed + 1)
    )
    found = runner.check(mutants, others, max_batch, sizes=(1, 2, 7))
    for positions, rows in ((1, 3), (8, 1), (130, 128)):
        assert runner.in_short_passes(mutants, positions, rows, max_batch) == found, (positions, rows)
    some = mutants[:: len(mutants) // 3]
    assert runner.truth(some) == {mutant: found[mutant] for mutant in some}


@pytest.mark.parametrize("vocabulary", [None, 4200])
@pytest.mark.parametrize(
    "sampling", [{"greedy": True}, {"temperature": 0.7, "top_k": 5}, {"temperature": 1.0, "top_p": 0.8}]
)
def test_ties_of_equal_logits_are_settled_alike(tmp_path, vocabulary, sampling):
    model = load_model(str(tiny_model(tmp_path, "llama", 3, std=0.15, vocab_size=vocabulary or 104)))
    head = model.network.get_parameter("lm_head.weight").detach()
    head[len(head) // 2 :] = head[: len(head) // 2]
    assay = TextAssay(name="t", prompt="abc", seed=2, max_new_tokens=12, **sampling).resolve(model)
    runner = Runner(model, Tiling(8), assay)
    mutants = Design(layers=(0, 2), sample=12).plan(model.genome, runner.tiling).mutants()
    found = runner.check(mutants, [], max_batch=9, sizes=(1, 7))
    assert runner.truth(mutants[::3]) == {mutant: found[mutant] for mutant in mutants[::3]}
    said = {token for (output,) in found.values() for token in output.tokens}
    if sampling == {"greedy": True}:
        assert max(said) < len(head) // 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_mutants_of_the_default_model_have_one_output(smollm2):
    runner = Runner(smollm2, Tiling(8), load_assay("drosophila").resolve(smollm2))
    mutants, others = (
        Design(sample=20, sample_seed=seed).plan(smollm2.genome, runner.tiling).mutants() for seed in (7, 8)
    )
    found = runner.check(mutants, others, max_batch=64, sizes=(1, 2, 7, 64))
    assert runner.truth(mutants[::13]) == {mutant: found[mutant] for mutant in mutants[::13]}


# logits


@pytest.fixture
def sampled_from(monkeypatch):
    """The rows of logits that tokens were sampled from, with their steps."""
    seen, sample = set(), Sampler.sample

    def recorded(self, logits, steps, shortlist=None, facts=None):
        if shortlist is None:
            seen.update(
                (step, row.numpy().tobytes()) for step, row in zip(steps.tolist(), logits, strict=True)
            )
        return sample(self, logits, steps, shortlist, facts)

    monkeypatch.setattr(Sampler, "sample", recorded)
    return seen


@pytest.mark.parametrize("max_batch", [3, 64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tokens_are_sampled_from_the_logits_that_generate_has(tmp_path, sampled_from, dtype, max_batch):
    """Through verification, following and decoding."""
    model = load_model(str(tiny_model(tmp_path, "llama", 3, std=0.15)), dtype=dtype)
    tiling = Tiling(9)
    assay = TextAssay(name="t", prompt="abc", seed=1, max_new_tokens=14, temperature=0.8).resolve(model)
    mutants = Design(layers=(1, 2), sample=24).plan(model.genome, tiling).mutants()
    engine = FastEngine(model, tiling, max_batch)
    session = engine.prepare(assay.prompts, assay.readout)
    sampled_from.clear()
    assert len(list(session.run(mutants))) == len(mutants)
    mine = set(sampled_from)
    for mutant in mutants:
        with engine.mutagen.mutated(mutant):
            record: list[torch.Tensor] = []
            engine.reference.generate(assay.prompts[0], assay.readout, record)
        for step, logits in enumerate(record):
            assert (step, logits.numpy().tobytes()) in mine, (mutant, step)


def sites(network, tiling: Tiling, seed: int) -> list[Mutant]:
    """A mutant per locus of a random site, layers ascending."""
    draw = random.Random(seed)
    mutants = []
    for locus in find_genome(network):
        row, col = (draw.randrange(side) for side in tiling.grid(locus))
        mutants.append(Mutant(locus.layer, locus.kind, row, col, draw.choice(MUTATIONS)))
    return mutants


@torch.inference_mode()
def check_logits(network, tiling: Tiling, mutants: list[Mutant], tokens: torch.Tensor) -> None:
    """Logits of mutants in one batch, some positions at a time, against the edited network on its own."""
    decoder, mutagen = Decoder(network, tokens.shape[1]), Mutagen(network, find_genome(network), tiling)
    edited = [(row, edit_of(mutagen, decoder, mutant)) for row, mutant in enumerate(mutants)]
    edits = Edits(written(edited))
    cache = decoder.new_cache(len(mutants), tokens.shape[1])
    found = []
    for begin, end in ((0, 4), (4, 5), (5, tokens.shape[1])):
        places = decoder.places(begin, end)
        hidden = decoder.embed(tokens[:, begin:end], places).repeat(len(mutants), 1, 1)
        for index in range(len(decoder.layers)):
            hidden = decoder.layer(index, hidden, edits, cache[index], places)
        final = decoder.final(hidden)
        found.append(decoder.logits(final.flatten(0, 1)).view(*final.shape[:2], -1))
    logits = torch.cat(found, dim=1)
    with numerics_of(network).installed(network):
        wild, changed = network(tokens).logits[0].float(), 0
        for row, mutant in zip(logits, mutants, strict=True):
            with mutagen.mutated(mutant):
                true = network(tokens).logits[0].float()
            assert torch.equal(row, true), mutant
            changed += not torch.equal(true, wild)
    assert changed > len(mutants) / 3


def some_tokens(vocabulary: int) -> torch.Tensor:
    return torch.randint(0, vocabulary, (1, 9), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=DTYPES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tile", [1, 7, 48])
def test_mutants_of_all_loci_have_the_networks_logits(family, dtype, tile):
    network = tiny_network(family, 2).to(dtype)
    check_logits(network, Tiling(tile), sites(network, Tiling(tile), tile), some_tokens(90))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=DTYPES)
@pytest.mark.parametrize("kind", ["q", "k", "v", "o", "gate", "up", "down"])
@pytest.mark.parametrize("tile", [1, 8])
def test_mutants_next_to_an_outlier_have_the_networks_logits(kind, dtype, tile):
    network, tiling = tiny_network("llama", 2).to(dtype), Tiling(tile)
    mutagen = Mutagen(network, find_genome(network), tiling)
    mutagen.matrix(mutagen.loci[f"1.{kind}"])[2, 3] = 1e6
    beside = [(0, 0), (0, 1), (1, 0), (2 // tile, 3 // tile), (2 // tile, 3 // tile + 1)]
    mutants = [Mutant(1, kind, row, col, name) for row, col in beside for name in ("max", "min", "random")]
    check_logits(network, tiling, mutants, some_tokens(90))


@pytest.mark.parametrize("vocabulary", [1, 2, 3, 17])
def test_small_vocabularies(vocabulary):
    network = tiny_network(
        "llama", 2, vocab_size=vocabulary, bos_token_id=None, eos_token_id=None, pad_token_id=None
    )
    check_logits(network, Tiling(5), sites(network, Tiling(5), 0), some_tokens(vocabulary))
