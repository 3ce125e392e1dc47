from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from mutascope.analysis.maps import MapData, by_silence, by_token, locus_maps
from mutascope.analysis.status import Status
from mutascope.core.errors import MutascopeError
from mutascope.figures import PAPER, draw_map, draw_sheet, save_figure
from stores import records_of

COLOURS = PAPER.statuses

LLAMA_SHAPES = dict.fromkeys("qkvo", (64, 64)) | {"gate": (172, 64), "up": (172, 64), "down": (64, 172)}


def random_status(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, len(Status), (rows, cols), dtype=np.int8)


def site_colours(figure: Figure, axes: Any = None) -> list[list[str]]:
    """The hex colour in the middle of every site as rendered, [rows down][columns across]."""
    axes = axes or figure.axes[0]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    high, wide = axes.images[0].get_array().shape[:2]
    colours = []
    for y in range(high):
        points = axes.transData.transform([(x, y) for x in range(wide)])
        colours.append([to_hex(pixels[int(pixels.shape[0] - py), int(px)] / 255) for px, py in points])
    return colours


def expected_colours(drawn: np.ndarray) -> list[list[str]]:
    return [[COLOURS[Status(value)] for value in row] for row in drawn]


def legend_labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def axes_by_name(figure: Figure) -> dict[str, Any]:
    return {str(axes.get_label()): axes for axes in figure.axes}


def test_colours_are_red_max_blue_min_green_both_white_silent_grey_unscreened():
    def hue(status):
        red, green, blue = (int(COLOURS[status][i : i + 2], 16) for i in (1, 3, 5))
        return red, green, blue

    assert np.argmax(hue(Status.MAX_ONLY)) == 0
    assert np.argmax(hue(Status.BOTH)) == 1
    assert np.argmax(hue(Status.MIN_ONLY)) == 2
    assert hue(Status.SILENT) == (255, 255, 255)
    assert len(set(hue(Status.UNSCREENED))) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (9, 9), (64, 224), (172, 64)])
def test_every_site_is_drawn_in_its_colour_at_its_place(shape):
    status = random_status(*shape)
    assert site_colours(draw_map(MapData(0, "q", status))) == expected_colours(status)


@pytest.mark.parametrize("kind, transposed", [("gate", True), ("up.e3", True), ("down", False), ("v", False)])
def test_gate_and_up_are_transposed_and_the_axis_labels_say_so(kind, transposed):
    status = random_status(12, 5)
    figure = draw_map(MapData(0, kind, status))
    axes = figure.axes[0]
    assert site_colours(figure) == expected_colours(status.T if transposed else status)
    across, down = ("row", "col") if transposed else ("col", "row")
    assert axes.get_xlabel().startswith(across)
    assert axes.get_ylabel().startswith(down)
    assert ("transposed" in axes.get_xlabel()) == transposed


@pytest.mark.parametrize("shape", [(9, 9), (72, 72), (64, 224)])
def test_the_grid_is_visible_and_leaves_most_of_a_site_in_its_colour(shape):
    status = np.full(shape, Status.MAX_ONLY, dtype=np.int8)
    figure = draw_map(MapData(0, "q", status))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    box = figure.axes[0].get_window_extent()
    inside = pixels[
        pixels.shape[0] - int(box.y1) + 3 : pixels.shape[0] - int(box.y0) - 3,
        int(box.x0) + 3 : int(box.x1) - 3,
    ]
    red = [int(COLOURS[Status.MAX_ONLY][i : i + 2], 16) for i in (1, 3, 5)]
    pure = np.mean(np.all(inside == red, axis=-1))
    assert 0.6 < pure < 0.995


def test_the_legend_counts_the_sites_of_each_status():
    status = np.repeat(np.arange(5, dtype=np.int8), [1, 2, 3, 4, 1190]).reshape(30, 40)
    assert legend_labels(draw_map(MapData(0, "q", status))) == [
        "max only: 3",
        "min only: 4",
        "both: 1,190",
        "silent: 2",
        "unscreened: 1",
    ]


def test_sites_are_square_and_at_least_three_pixels_in_a_png(tmp_path):
    for shape in [(9, 9), (172, 64), (64, 224), (512, 1376)]:
        figure = draw_map(MapData(0, "down", random_status(*shape)))
        box = figure.axes[0].get_window_extent()
        assert box.width / shape[1] == pytest.approx(box.height / shape[0])
        assert box.width / shape[1] > 3 - 1e-6
    save_figure(figure, tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as image:
        assert image.width > 3 * 1376
        assert image.height > 3 * 512


def test_everything_but_the_maps_lies_inside_the_page():
    for shape in [(1, 1), (1, 64), (64, 1), (9, 9)]:
        figure = draw_map(MapData(0, "up", random_status(*shape), title="word " * 30))
        FigureCanvasAgg(figure).draw()
        page = figure.bbox
        artists = [*figure.texts, figure.legends[0], figure.axes[0].xaxis.label, figure.axes[0].yaxis.label]
        for artist in artists:
            box = artist.get_window_extent()
            assert page.x0 <= box.x0 < box.x1 <= page.x1, (shape, artist)
            assert page.y0 <= box.y0 < box.y1 <= page.y1, (shape, artist)


def test_a_title_with_dollar_signs_is_not_read_as_a_formula(tmp_path):
    figure = draw_map(MapData(0, "q", random_status(3, 3), title=r"costs $5 \frac{ or $6"))
    save_figure(figure, tmp_path / "map.png")
    assert figure.texts[0].get_text() == r"costs $5 \frac{ or $6"
    assert not figure.texts[0].get_parse_math()


@pytest.mark.parametrize(
    "suffix, magic", [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")]
)
def test_the_suffix_decides_the_format(tmp_path, suffix, magic):
    path = tmp_path / f"map.{suffix}"
    save_figure(draw_map(MapData(0, "q", random_status(4, 4))), path)
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["map.jpg", "map", "map.png.gz"])
def test_an_unknown_suffix_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(MutascopeError, match=r"\.png, \.pdf or \.svg"):
        save_figure(draw_map(MapData(0, "q", random_status(2, 2))), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_cannot_be_written_is_a_clear_error(tmp_path):
    with pytest.raises(MutascopeError, match="No such file or directory"):
        save_figure(draw_map(MapData(0, "q", random_status(2, 2))), tmp_path / "missing" / "map.png")


def test_a_sheet_of_one_locus_shows_that_locus():
    status = random_status(24, 9)
    figure = draw_sheet([MapData(15, "gate", status)])
    assert list(axes_by_name(figure)) == ["15.gate"]
    assert site_colours(figure) == expected_colours(status.T)


def test_a_sheet_of_224_loci_has_layers_as_rows_and_kinds_in_order_as_columns():
    maps = [
        MapData(layer, kind, random_status(*shape))
        for layer in range(32)
        for kind, shape in LLAMA_SHAPES.items()
    ]
    np.random.default_rng(0).shuffle(maps)
    figure = draw_sheet(maps)
    panels = axes_by_name(figure)
    assert len(panels) == 224

    def corner(layer, kind):
        box = panels[f"{layer}.{kind}"].get_position()
        return box.x0, box.y1

    kinds = list(LLAMA_SHAPES)
    columns = [corner(0, kind)[0] for kind in kinds]
    rows = [corner(layer, "q")[1] for layer in range(32)]
    assert columns == sorted(columns)
    assert len(set(columns)) == 7
    assert rows == sorted(rows, reverse=True)
    for layer in range(32):
        assert [corner(layer, kind)[0] for kind in kinds] == pytest.approx(columns)
        assert [corner(layer, kind)[1] for kind in kinds] == pytest.approx([rows[layer]] * 7)
    boxes = [panel.get_window_extent() for panel in panels.values()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    total = sum(data.status.size for data in maps)
    assert sum(int(label.split(": ")[1].replace(",", "")) for label in legend_labels(figure)) == total
    assert min(box.width / (64 if abs(box.width - box.height) < 1 else 172) for box in boxes) > 3 - 1e-6


def test_a_sheet_leaves_unscreened_loci_blank_and_puts_other_kinds_last():
    maps = [
        MapData(7, "down", random_status(3, 8)),
        MapData(2, "router", random_status(2, 3)),
        MapData(2, "q", random_status(3, 3)),
    ]
    figure = draw_sheet(maps)
    left = {name: axes.get_position().x0 for name, axes in axes_by_name(figure).items()}
    assert left["2.q"] < left["7.down"] < left["2.router"]
    headings = [text.get_text() for text in figure.texts]
    assert sorted(text for text in headings if text in {"q", "down", "router", "v"}) == [
        "down",
        "q",
        "router",
    ]
    assert [text for text in headings if text.isdigit()] == ["2", "7"]


def test_few_sampled_sites_of_a_large_sheet_are_enlarged_and_the_page_says_so():
    maps = []
    for layer in range(30):
        status = np.zeros((72, 192), dtype=np.int8)
        status[40, 100] = Status.BOTH
        maps.append(MapData(layer, "down", status))
    figure = draw_sheet(maps)
    assert any("enlarged" in text.get_text() for text in figure.texts)
    colours = site_colours(figure, axes_by_name(figure)["3.down"])
    green = [
        (y, x)
        for y, row in enumerate(colours)
        for x, colour in enumerate(row)
        if colour == COLOURS[Status.BOTH]
    ]
    assert (40, 100) in green
    assert len(green) > 1
    assert all(abs(y - 40) <= 3 and abs(x - 100) <= 3 for y, x in green)


def test_a_complete_sheet_is_not_enlarged():
    maps = [MapData(layer, "down", random_status(72, 192)) for layer in range(30)]
    figure = draw_sheet(maps)
    assert not any("enlarged" in text.get_text() for text in figure.texts)
    assert all(not axes.collections for axes in figure.axes)


def test_predicted_sites_are_lighter_the_others_have_a_dot_and_unscreened_ones_stay_grey():
    status = np.array([[Status.BOTH, Status.BOTH], [Status.UNSCREENED, Status.SILENT]], dtype=np.int8)
    exact = np.array([[True, False], [False, True]])
    figure = draw_map(MapData(0, "gate", status, exact))
    drawn = np.asarray(figure.axes[0].images[0].get_array())
    green, grey = (to_rgb(COLOURS[status]) for status in (Status.BOTH, Status.UNSCREENED))
    assert drawn[0, 0].tolist() == pytest.approx(green)
    assert drawn[0, 1].tolist() == pytest.approx(grey)
    assert drawn[1, 0].tolist() == pytest.approx([0.45 + 0.55 * part for part in green])
    assert np.asarray(figure.axes[0].collections[0].get_offsets()).tolist() == [[0, 0], [1, 1]]


def test_an_empty_sheet_is_refused():
    with pytest.raises(MutascopeError, match="no locus"):
        draw_sheet([])


def test_a_map_coloured_by_first_divergence_names_the_tokens():
    records = records_of({(0, "v"): "+-#.\n..# "}).with_columns(
        first_divergence=pl.Series(
            [3, None, None, 5, 3, 7, None, None, None, None, None, None, 5, 9], dtype=pl.Int32
        )
    )
    loci = pl.DataFrame({"layer": [0], "kind": ["v"], "site_rows": [2], "site_cols": [4]})
    ((_, data),) = locus_maps(records, loci, 1, "by token").items()
    (coloured,) = by_token([data], records, ["The", "a", "b", " $x", "c", "d"], most=2)
    assert coloured.labels == ["3 ' $x'", "5 'd'", "another"]
    assert coloured.coded is not None
    assert coloured.coded.tolist() == [[2, 3, 2, 1], [1, 1, 3, 0]]  # the earlier of max and min counts
    figure = draw_map(coloured)
    silent, unscreened = COLOURS[Status.SILENT], COLOURS[Status.UNSCREENED]
    first, second = PAPER.series[:2]
    assert site_colours(figure) == [[first, second, first, silent], [silent, silent, second, unscreened]]
    assert legend_labels(figure) == [
        *("3 ' \\$x': 2", "5 'd': 2", "another: 0", "silent: 3", "unscreened: 1"),
    ]
    assert draw_sheet([coloured]).legends[0].get_title().get_text() == "first divergence\nat token"


def test_a_map_coloured_by_silence_is_a_scale_of_the_mean_chance_of_max_and_min():
    records = records_of({(0, "v"): "+-\n. "})
    chances = records.with_columns(silence=pl.Series([1.0, 1.0, 0.85, 0.25, 0.0, 0.0]))
    loci = pl.DataFrame({"layer": [0], "kind": ["v"], "site_rows": [2], "site_cols": [2]})
    ((_, data),) = locus_maps(records, loci, 1, "by silence").items()
    (coloured,) = by_silence([data], chances)
    assert coloured.coded is not None
    assert coloured.coded.tolist() == [[1, 5], [10, 0]]
    figure = draw_map(coloured)
    steps = [to_hex(tint) for tint in colormaps[PAPER.sequential](np.linspace(0, 1, 10))]
    assert site_colours(figure) == [[steps[0], steps[4]], [steps[9], COLOURS[Status.UNSCREENED]]]
    assert legend_labels(figure)[:5] == [
        "0.0 to 0.1: 1",
        *(f"0.{n} to 0.{n + 1}: 0" for n in (1, 2, 3)),
        "0.4 to 0.5: 1",
    ]
    assert legend_labels(figure)[-1] == "unscreened: 1"
