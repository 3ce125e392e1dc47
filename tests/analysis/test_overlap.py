"""Overlap by hand and by the definition, site by site; the published layer correlations."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from analysis.frames import loci_of, records_of, records_of_arrays
from mutascope import MutascopeError
from mutascope.analysis.overlap import layer_correlations, layer_counts, overlap_matrix, overlap_tests
from mutascope.analysis.status import Status


def cell(frame: pl.DataFrame, a: str, b: str) -> dict:
    return frame.filter(assay_a=a, assay_b=b).row(0, named=True)


def test_overlap_by_hand():
    # equal: ##, ++, ..; half: #+, -#; none: +-, #., .-
    a = records_of({(0, "q"): "#+.#-+#."})
    b = records_of({(0, "q"): "#+.+#-.-"})
    sizes = {(0, "q"): (1, 8)}
    frame = overlap_matrix({"a": a, "b": b}, {"a": loci_of(sizes), "b": loci_of(sizes)})
    assert frame.columns == ["assay_a", "assay_b", "loci", "sites", "overlap", "expected"]
    assert frame.select("assay_a", "assay_b").rows() == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    assert cell(frame, "a", "b")["overlap"] == pytest.approx((3 + 2 * 0.5) / 8)
    assert cell(frame, "a", "a")["overlap"] == 1
    # a: 3 both, 2 max, 1 min, 2 silent; b: 2 both, 2 max, 2 min, 2 silent
    expected = (3 * 2 + 2 * 2 + 1 * 2 + 2 * 2 + 0.5 * (3 * 2 + 3 * 2 + 2 * 2 + 2 * 1)) / 64
    assert cell(frame, "a", "b")["expected"] == pytest.approx(expected)


def test_loci_of_unequal_size_weigh_by_their_sites():
    a = records_of({(0, "q"): "+ ", (1, "q"): "++\n++"})
    b = records_of({(0, "q"): "+ ", (1, "q"): "--\n++"})
    sizes = {(0, "q"): (1, 2), (1, "q"): (2, 2)}
    sampled = loci_of(sizes)
    frame = overlap_matrix({"a": a, "b": b}, {"a": sampled, "b": sampled})
    assert cell(frame, "a", "b")["overlap"] == pytest.approx((2 * 1 + 4 * 0.5) / 6)
    listed = loci_of(sizes, region=False)
    frame = overlap_matrix({"a": a, "b": b}, {"a": listed, "b": sampled})
    assert cell(frame, "a", "b")["overlap"] == pytest.approx((1 * 1 + 4 * 0.5) / 5)
    by_layer = overlap_matrix({"a": a, "b": b}, {"a": sampled, "b": sampled}, ["layer"])
    assert by_layer.filter(assay_a="a", assay_b="b").select("layer", "sites", "overlap").rows() == [
        (0, 1, 1.0),
        (1, 4, 0.5),
    ]


def test_only_sites_with_max_and_min_in_both_screens_count():
    a = records_of({(0, "q"): "++."}).filter((pl.col("col") != 2) | (pl.col("mutation") == "max"))
    b = records_of({(0, "q"): " +-", (3, "k"): "+"})
    loci = {"a": loci_of({(0, "q"): (1, 3)}), "b": loci_of({(0, "q"): (1, 3), (3, "k"): (1, 1)})}
    assert cell(overlap_matrix({"a": a, "b": b}, loci), "a", "b")["sites"] == 1
    zero = records_of({(0, "q"): "+"}).with_columns(mutation=pl.lit("zero"))
    lone = overlap_matrix({"a": a, "z": zero}, {"a": loci["a"], "z": loci["a"]})
    assert cell(lone, "a", "z") == {
        "assay_a": "a",
        "assay_b": "z",
        "loci": 0,
        "sites": 0,
        "overlap": None,
        "expected": None,
    }


def test_screens_that_cannot_be_compared():
    a = records_of({(0, "q"): "+"})
    with pytest.raises(MutascopeError, match="equal shape and tile"):
        overlap_matrix({"a": a, "b": a}, {"a": loci_of({(0, "q"): (1, 1)}), "b": loci_of({(0, "q"): (1, 2)})})
    with pytest.raises(MutascopeError, match="no screen to compare"):
        overlap_matrix({}, {})


MAP = npst.arrays(np.int8, (3, 4), elements=st.integers(1, 4))


@given(MAP, MAP, MAP)
def test_overlap_is_the_definition_and_symmetric(q, k, other):
    sizes = {(0, "q"): (3, 4), (0, "k"): (3, 4)}
    screens = {
        "a": records_of_arrays({(0, "q"): q, (0, "k"): k}),
        "b": records_of_arrays({(0, "q"): other, (0, "k"): k.T.reshape(3, 4)}),
    }
    frame = overlap_matrix(screens, dict.fromkeys(screens, loci_of(sizes)))
    score = 0.0
    for x, y in zip([*q.ravel(), *k.ravel()], [*other.ravel(), *k.T.ravel()], strict=True):
        score += 1 if x == y else 0.5 if Status.BOTH in (x, y) and Status.SILENT not in (x, y) else 0
    assert cell(frame, "a", "b")["overlap"] == pytest.approx(score / 24)
    assert cell(frame, "a", "b")["overlap"] == cell(frame, "b", "a")["overlap"]
    assert cell(frame, "b", "b")["overlap"] == pytest.approx(1)


def test_the_expected_overlap_is_that_of_shuffled_maps():
    random = np.random.default_rng(5)
    a, b = random.choice([1, 2, 3, 4], (2, 10, 12), p=[0.5, 0.2, 0.1, 0.2]).astype(np.int8)
    loci = dict.fromkeys("ab", loci_of({(0, "q"): (10, 12)}))
    expected = cell(
        overlap_matrix({"a": records_of_arrays({(0, "q"): a}), "b": records_of_arrays({(0, "q"): b})}, loci),
        "a",
        "b",
    )["expected"]
    half = np.array([[i == j or 0.5 * (4 in (i, j) and 1 not in (i, j)) for j in range(5)] for i in range(5)])
    shuffled = [half[a.ravel(), random.permutation(b.ravel())].mean() for _ in range(4000)]
    assert expected == pytest.approx(np.mean(shuffled), abs=4 * np.std(shuffled) / np.sqrt(4000))


# layers


def test_a_map_against_shuffled_ones_has_the_share_of_shuffles_that_overlap_as_much():
    random = np.random.default_rng(1)
    a, b = (random.integers(1, 5, (6, 5)).astype(np.int8) for _ in "ab")
    b[:3] = a[:3]
    screens = {name: records_of_arrays({(0, "q"): status}) for name, status in (("a", a), ("b", b))}
    loci = dict.fromkeys(screens, loci_of({(0, "q"): (6, 5)}))
    (found,) = overlap_tests(screens, loci, [("a", "b")])["p"]

    def score(first, second):
        pairs = zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
        return sum(1.0 if x == y else 0.5 if {x, y} in ({2, 4}, {3, 4}) else 0.0 for x, y in pairs)

    draws = [score(a, b[random.permutation(6)][:, random.permutation(5)]) for _ in range(2000)]
    assert found == pytest.approx(np.mean(np.array(draws) >= score(a, b)), abs=0.01)


def test_the_published_layer_correlations(shared):
    table = pl.read_csv(shared / "data" / "llama2_7b_nsm_counts.csv")
    counts = table.unpivot(index=["layer", "matrix"], variable_name="assay", value_name="nsm")
    frame = layer_correlations(counts)
    published = {"python10": 0.8453, "java": 0.8459, "drosophila": 0.6525, "newton": 0.5807, "mmlu21": 0.5705}
    assert set(frame["layers"]) == {32}
    for assay, value in published.items():
        assert round(cell(frame, "python0", assay)["r_squared"], 4) == value
        assert round(cell(frame, assay, "python0")["r_squared"], 4) == value


def test_layers_must_match():
    counts = pl.DataFrame({"assay": ["a", "a", "b"], "layer": [0, 1, 0], "nsm": [1, 2, 3]})
    with pytest.raises(MutascopeError, match=r"layers of a and b do not match \(2 and 1 layers; layer 1"):
        layer_correlations(counts)


def test_a_constant_assay_or_a_single_layer_has_no_correlation():
    counts = pl.DataFrame({"assay": list("aabb"), "layer": [0, 1, 0, 1], "nsm": [5, 5, 1, 2]})
    frame = layer_correlations(counts)
    assert cell(frame, "a", "b")["r_squared"] is None
    assert cell(frame, "b", "b")["r_squared"] == pytest.approx(1)
    assert layer_correlations(counts.filter(layer=0))["r"].to_list() == [None] * 4
    assert layer_correlations(counts.clear()).is_empty()


def test_layer_counts_of_a_complete_screen_are_the_counts():
    records = records_of({(0, "q"): "+#\n..", (0, "v"): "-.", (1, "q"): "..\n.."})
    loci = loci_of({(0, "q"): (2, 2), (0, "v"): (1, 2), (1, "q"): (2, 2)})
    assert layer_counts(records, loci).rows() == [(0, pytest.approx(4)), (1, 0)]
    zero = records.filter(mutation="max").with_columns(mutation=pl.lit("zero"))
    assert layer_counts(pl.concat([records, zero]), loci).rows() == [(0, pytest.approx(6)), (1, 0)]
    assert layer_counts(records.clear(), loci).is_empty()


def test_layer_counts_of_a_sample_are_scaled_to_the_region():
    records = records_of({(0, "q"): "+#\n..", (0, "v"): "##"})
    loci = loci_of({(0, "q"): (10, 10), (0, "v"): (2, 5), (1, "q"): (2, 2)})
    assert layer_counts(records, loci).rows() == [(0, pytest.approx(200 * 3 / 8 + 20 * 1))]
    listed = loci.with_columns(region_sites=pl.lit(None, pl.Int64))
    assert layer_counts(records, listed).rows() == [(0, 7)]
