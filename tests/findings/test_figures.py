"""What the figures show: artists, labels and data, of every figure that small screens can make."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb

from mutascope.analysis.maps import MapData
from mutascope.analysis.status import Status
from mutascope.core.errors import MutascopeError, NotHere
from mutascope.figures import COLOURBLIND, PAPER, draw_gallery, quality_figure
from mutascope.findings import ScreenSet, figure_named, figures
from stores import as_choice, random_records, records_of, write_screen


@pytest.fixture(scope="module")
def given(folders) -> ScreenSet:
    return ScreenSet(list(folders.values()))


def draw(given, name, palette=PAPER) -> dict[str, Any]:
    return dict(figure_named(name).draw(given, palette))


def texts(figure) -> list[str]:
    found = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return [text for text in found if text]


def bars(axes) -> list[float]:
    return [round(patch.get_height(), 6) for patch in axes.patches]


ELSEWHERE = {"conserved_apart", "null_maps"}
"""Figures that take more layers, or null screens: tests of their own draw them."""
OF_PREDICTIONS = ("reliability", "prediction_baselines")


@pytest.fixture(scope="module")
def renamed(folders) -> ScreenSet:
    """Screens whose names would be formulas, some of them wrong."""
    signs = ("$^$", "_b$_{$", "$\\frac$", "$_{x$", "$\\sqrt$")
    return ScreenSet([f"{name}={path}" for name, path in zip(signs, folders.values(), strict=True)])


WITH_LEGENDS_OF_SCREENS = {"nsm_by_kind", "copa_strength"}


@pytest.mark.parametrize("name", sorted(set(figures()) - ELSEWHERE))
@pytest.mark.parametrize(
    "palette", [PAPER, pytest.param(COLOURBLIND, marks=pytest.mark.slow)], ids=["paper", "colourblind"]
)
def test_every_figure_is_drawn_within_its_page_with_names_as_they_stand(renamed, predicted, name, palette):
    drawn = draw(ScreenSet([predicted]) if name in OF_PREDICTIONS else renamed, name, palette)
    assert drawn
    named = False
    for suffix, figure in drawn.items():
        FigureCanvasAgg(figure).draw()  # a formula would be refused, or lose its signs
        assert figure.axes
        assert all(axes.has_data() for axes in figure.axes if axes.get_label() != "<colorbar>"), (
            name,
            suffix,
        )
        page = figure.bbox.padded(1)
        for text in [*figure.texts, *(label for axes in figure.axes for label in _labels(axes))]:
            box = text.get_window_extent()
            assert page.x0 <= box.x0, (name, suffix, text)
            assert box.x1 <= page.x1, (name, suffix, text)
            assert page.y0 <= box.y0, (name, suffix, text)
            assert box.y1 <= page.y1, (name, suffix, text)
        for legend in [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]:
            shown = [text.get_text().replace(r"\$", "$").strip() for text in legend.get_texts()]
            if "$^$" in shown:
                assert shown == list(renamed.maps)
                named = True
    assert named == (name in WITH_LEGENDS_OF_SCREENS)


def _labels(axes):
    parts = [axes.title, axes.xaxis.label, axes.yaxis.label]
    return [text for text in parts if text.get_text() and text.get_visible()]


def test_bars_are_rates_in_per_cent_in_the_colours_of_the_mutations(tmp_path):
    records = records_of({(0, "v"): "+-#.\n+..."})  # 3 max and 2 min NSMs at 8 sites
    given = ScreenSet([write_screen(tmp_path / "say", records)])
    axes = draw(given, "nsm_by_mutation")[""].axes[0]
    assert bars(axes) == [37.5, 25.0]
    assert [patch.get_facecolor()[:3] for patch in axes.patches] == [
        to_rgb(PAPER.statuses[Status.MAX_ONLY]),
        to_rgb(PAPER.statuses[Status.MIN_ONLY]),
    ]
    assert {"3", "2", "say", "max", "min"} <= set(texts(axes.figure))


@pytest.mark.parametrize("name", ["nsm_by_mutation", "nsm_by_kind"])
def test_numbers_above_full_bars_stay_within_their_panel(tmp_path, name):
    full = records_of({(0, "v"): "##\n##"})
    folders = [write_screen(tmp_path / f"say{number}", full) for number in range(5)]
    (axes,) = draw(ScreenSet(folders), name)[""].axes
    FigureCanvasAgg(axes.figure).draw()
    panel = axes.get_window_extent()
    assert len(axes.texts) == {"nsm_by_mutation": 10, "nsm_by_kind": 5}[name]
    assert all(text.get_window_extent().y1 <= panel.y1 for text in axes.texts)


def test_numbers_by_kind_are_of_all_mutations_and_stand_above_their_bars(tmp_path):
    drawn = records_of({(0, "down"): "+-#.", (1, "q"): "#..."})  # 4 of 8 and 2 of 8
    zero = drawn.filter(mutation="max", col=0).with_columns(mutation=pl.lit("zero"))  # one more of each kind
    folder = write_screen(tmp_path / "say", pl.concat([drawn, zero]))
    (axes,) = draw(ScreenSet([folder]), "nsm_by_kind")[""].axes
    found = {text.get_text(): text.xy for text in axes.texts}
    assert found == {"3": (pytest.approx(0), 25.0), "5": (pytest.approx(1), 50.0)}


def test_panels_have_no_sheet_as_they_know_nothing_of_silence(given):
    assert list(draw(given, "sheet")) == list(given.maps)


def test_the_overlap_figure_holds_the_numbers(given):
    from mutascope.findings.comparison import overlap

    figure = draw(given, "overlap")[""]
    for row in overlap(given).iter_rows(named=True):
        assert f"{row['overlap']:.3f}" in texts(figure)
        assert f"({row['expected']:.3f})" in texts(figure)
    assert figure.axes[0].images[0].get_array().shape == (4, 4)


def test_layer_correlation_plots_the_first_assay_against_each_other(given):
    figure = draw(given, "layer_correlation")[""]
    (axes,) = figure.axes
    told = [text.get_text().partition(",")[0] for text in axes.get_legend().get_texts()]
    assert (axes.get_xlabel(), told) == ("NSMs, drosophila", ["newton", "mmlu21", "mmlu"])
    nsms = given.records["drosophila"].group_by("layer").agg(n=(~pl.col("silent")).sum()).sort("layer")
    assert figure.axes[0].collections[0].get_offsets()[:, 0].tolist() == nsms["n"].to_list()


def test_layers_are_a_panel_per_kind_in_order(given):
    figure = draw(given, "layers")["drosophila"]
    assert [axes.get_title() for axes in figure.axes[:3]] == ["v", "gate", "down"]
    nsms = given.records["drosophila"].filter(~pl.col("silent"), kind="v").sort("layer")
    counts = nsms.group_by("layer", maintain_order=True).agg(pl.len(), pl.col("phenotype").n_unique())
    left, right = figure.axes[0], figure.axes[3]
    assert list(left.lines[0].get_ydata()) == counts["len"].to_list()
    assert list(right.lines[0].get_ydata()) == counts["phenotype"].to_list()
    assert right.get_ylim() != left.get_ylim()


def test_phenotypes_of_a_predicted_screen_are_left_out_and_the_title_says_so(predicted):
    (figure,) = draw(ScreenSet([predicted]), "layers").values()
    assert all(len(axes.lines) == 1 for axes in figure.axes)
    assert (
        "phenotypes, known of the mutants that were run alone, are left out"
        in figure.get_suptitle().replace("\n", " ")
    )


def test_the_planted_columns_are_named_as_conserved(tmp_path):
    records = random_records(6, {"v": (16, 16)}, seed=3)
    given = ScreenSet([write_screen(tmp_path / "say", records)])
    top = draw(given, "conserved_lines")["say_columns"].axes[0].child_axes[0]
    assert {2, 5} <= set(top.get_xticks())


def test_copa_gallery_shows_the_map_and_its_two_orders(given):
    figure = draw(given, "copa")[""]
    named = {axes.get_label(): axes for axes in figure.axes}
    original, columns = figure.axes[0], figure.axes[1]
    first, moved = (axes.images[0].get_array() for axes in (original, columns))
    assert sorted(map(bytes, np.moveaxis(first, 1, 0).copy())) == sorted(
        map(bytes, np.moveaxis(moved, 1, 0).copy())
    )
    assert "columns in order" in named


def test_cosine_maps_grow_with_the_threshold(given):
    for label, figure in draw(given, "cosine_maps").items():
        white = [int((axes.images[0].get_array().min(axis=-1) == 1).sum()) for axes in figure.axes[:5]]
        assert white == sorted(white, reverse=True), label
        assert [axes.get_label().split(" ", 1)[1] for axes in figure.axes[:5]] == [
            "cosine < 0.1",
            "cosine < 0.2",
            "cosine < 0.5",
            "cosine < 0.7",
            "all NSMs",
        ]


def test_a_gallery_marks_rows_and_columns_where_they_are_drawn():
    status = np.full((4, 6), Status.SILENT, dtype=np.int8)
    plain = MapData(0, "down", status, title="down", rows=[1], cols=[2, 5])
    turned = MapData(0, "gate", status, title="gate", rows=[1], cols=[2, 5])
    figure: Any = draw_gallery([[plain, turned]], title="t")
    across, down = (c.get_offsets() for c in figure.axes[0].collections[-2:])
    assert across[:, 0].tolist() == [2, 5]
    assert down[:, 1].tolist() == [1]
    across, down = (c.get_offsets() for c in figure.axes[1].collections[-2:])
    assert across[:, 0].tolist() == [1]
    assert down[:, 1].tolist() == [2, 5]
    assert figure.legends[0].get_texts()[3].get_text() == "silent"


def test_a_gallery_without_a_map_is_refused():
    with pytest.raises(MutascopeError, match="no map to draw"):
        draw_gallery([[]], title="t")


def test_a_screen_without_lines_does_not_cost_the_others_their_picture(tmp_path):
    apart = records_of({(0, "v"): "+-\n.#"}).filter((pl.col("mutation") == "max") == (pl.col("row") == 0))
    drawn = records_of({(0, "v"): "+-\n.#"}).filter(mutation="max").with_columns(mutation=pl.lit("random"))
    whole = records_of({(0, "v"): "+-\n.#"})
    folders = [
        write_screen(tmp_path / name, records, name=name)
        for name, records in (("apart", apart), ("random", drawn), ("full", whole))
    ]
    assert list(draw(ScreenSet(folders), "conserved_lines")) == ["full_rows", "full_columns"]
    with pytest.raises(NotHere, match="max and min at the same sites"):
        draw(ScreenSet(folders[:2]), "conserved_lines")
    with pytest.raises(NotHere, match="it takes a screen of max or min"):
        draw(ScreenSet(folders[1:2]), "copa_strength")


def test_no_nsm_is_told_as_such(tmp_path):
    records = records_of({(0, "v"): "..\n.."})
    answers, wild = as_choice(records)
    questions = [f"Question {index}?" for index in range(len(wild))]
    silent = pl.lit("\n".join(wild))
    answers = answers.with_columns(silent=pl.lit(True), continuation=silent, score=pl.lit(14, pl.Int16))
    text = write_screen(tmp_path / "a", records, name="say")
    choice = write_screen(tmp_path / "b", answers, name="choose", wild=wild, prompts=questions)
    given = ScreenSet([text, choice])
    for name, told in (("cosine", "text assay"), ("score", "choice assay")):
        with pytest.raises(NotHere, match=f"no mutant of a {told} that was run is an NSM"):
            draw(given, name)


def test_all_silent_screens_are_drawn_or_left_out_with_a_reason(tmp_path):
    given = ScreenSet([write_screen(tmp_path / "s", records_of({(0, "v"): "...\n..."}))])
    reasons = {}
    for name, drawing in figures().items():
        try:
            for _, figure in drawing.draw(given, PAPER):
                FigureCanvasAgg(figure).draw()
        except MutascopeError as error:
            reasons[name] = str(error)
    assert {"overlap", "bias", "enriched_loci", "copa", "malignant"} <= set(reasons)
    assert not {"nsm_by_mutation", "nsm_by_kind", "layers", "sheet", "conserved_lines"} & set(reasons)


def _seen(colour: str, matrix: np.ndarray) -> np.ndarray:
    """Linear colour as somebody with a colour vision deficiency sees it (Vienot, Brettel and Mollon 1999)."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.clip(matrix @ linear, 0, 1) ** (1 / 2.2)


def test_the_colourblind_palette_tells_statuses_apart_without_red_or_green_cones():
    protan = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    for matrix in (protan, deutan):
        gaps = {}
        for name, palette in (("paper", PAPER), ("colourblind", COLOURBLIND)):
            seen = [_seen(colour, matrix) for colour in palette.statuses.values()]
            gaps[name] = min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i])
        assert gaps["colourblind"] > 0.25


@pytest.mark.parametrize("name", ["writers", "layer_correlation", "conserved_lines"])
def test_points_lie_within_their_axes_and_numbers_are_whole(given, name):
    for figure in draw(given, name).values():
        for axes in (axes for axes in figure.axes if axes.get_label() != "<colorbar>"):
            (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
            assert left <= axes.dataLim.x0
            assert axes.dataLim.x1 <= right + 1e-9
            assert bottom <= axes.dataLim.y0
            assert axes.dataLim.y1 <= top + 1e-9
            if axes.get_xlabel() != "cosine":
                assert all(tick == round(tick) for tick in axes.get_xticks())


def test_the_line_that_one_screen_has_alone_is_marked_there_and_not_in_the_other(tmp_path):
    random, folders = np.random.default_rng(0), []
    full = {"alone": dict.fromkeys(range(8), 2), "other": {layer: 4 + layer // 2 for layer in range(8)}}
    for name, columns in full.items():
        parts = []
        for layer, column in columns.items():
            nsm = random.random((16, 16)) < 0.05
            nsm[:, column] = True
            picture = "\n".join("".join("#" if hit else "." for hit in row) for row in nsm)
            parts.append(records_of({(layer, "v"): picture}))
        folders.append(write_screen(tmp_path / name, pl.concat(parts), name=name))
    drawn = draw(ScreenSet(folders), "conserved_apart")
    assert list(drawn) == ["alone"], "no line of the other screen is in more layers than elsewhere"
    figure = drawn["alone"]
    FigureCanvasAgg(figure).draw()
    told = " ".join(" ".join(texts(figure)).split())
    assert "column 2 of v: enriched in NSM sites in 8 of 8 layers of alone, in at most 0" in told
    marks = {
        axes.get_label(): [
            np.asarray(c.get_offsets())[:, 0].tolist()
            for c in axes.collections
            if isinstance(c, PathCollection)
        ]
        for axes in figure.axes
    }
    for layer in range(6):
        assert marks[f"{layer}.v alone"] == [[2]]
        assert marks[f"{layer}.v other"] == []


def test_lines_over_layers_are_told_apart_from_chance(tmp_path):
    """Column 2 is full in 8 of 8 layers; rows of another screen in two, which chance does too."""

    def rows(layer: int) -> str:
        return "\n".join("#" * 8 if line in (layer % 4, 5 + layer % 4) else "........" for line in range(10))

    full = dict.fromkeys(range(8), "..#.....\n" * 10)
    folders = []
    for name, maps in (("full", full), ("rare", {layer: rows(layer) for layer in range(8)})):
        parts = [records_of({(layer, "v"): picture}) for layer, picture in maps.items()]
        folders.append(write_screen(tmp_path / name, pl.concat(parts), name=name))
    drawn = draw(ScreenSet(folders), "conserved_layers")
    told = {label: " ".join(" ".join(texts(figure)).split()) for label, figure in drawn.items()}
    assert "column 2 of v, NSM sites in 8 of 8 layers (q = " in told["full"]
    assert "the first 6 of which are shown)" in told["full"]
    assert "of v, NSM sites in 2 of 8 layers (no more than chance, q = " in told["rare"]


def test_a_locus_without_an_nsm_has_a_share_of_zero(tmp_path):
    folder = write_screen(tmp_path / "say", records_of({(0, "v"): "##", (1, "v"): ".."}))
    drawn = draw(ScreenSet([folder]), "severe_by_locus")["say"]
    shown = np.ma.filled(drawn.axes[0].images[0].get_array(), np.nan)
    assert shown[1, 0] == 0


def test_a_word_has_one_colour_in_all_panels():
    def panel(words: list[str]) -> pl.DataFrame:
        told = {"word": words, "rare": [True] * len(words), "coherent": 0.5, "score": 3, "wild_right": 14}
        return pl.DataFrame(told)

    figure = quality_figure([("a", panel(["otta", "otta", "staring"])), ("b", panel(["staring"]))])
    tints = [
        {
            str(dots.get_label()): np.asarray(dots.get_facecolor()).ravel().tolist()
            for dots in axes.collections
        }
        for axes in figure.axes
    ]
    assert tints[0]["staring"] == tints[1]["staring"] != tints[0]["otta"]
