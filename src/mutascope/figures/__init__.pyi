from .baselines import baselines_figure
from .counts import kinds_figure, layers_figure, mutations_figure
from .enrichment import by_locus_figure, conserved_lines_figure
from .fragile import fragile_tokens_figure
from .gallery import draw_gallery
from .maps import draw_map, draw_sheet
from .pairs import layer_correlation_figure, overlap_figure
from .palette import COLOURBLIND, PAPER, Palette, palette_named
from .pixels import map_pixels
from .profiles import genres_figure, quality_figure, subjects_figure, texts_figure
from .reliability import reliability_figure
from .saving import save_figure, settle
from .severity import cosine_figure, score_figure
from .strength import strength_figure
from .writers import WriterCharts, writers_figure

__all__ = [
    "COLOURBLIND",
    "PAPER",
    "Palette",
    "WriterCharts",
    "baselines_figure",
    "by_locus_figure",
    "conserved_lines_figure",
    "cosine_figure",
    "draw_gallery",
    "draw_map",
    "draw_sheet",
    "fragile_tokens_figure",
    "genres_figure",
    "kinds_figure",
    "layer_correlation_figure",
    "layers_figure",
    "map_pixels",
    "mutations_figure",
    "overlap_figure",
    "palette_named",
    "quality_figure",
    "reliability_figure",
    "save_figure",
    "score_figure",
    "settle",
    "strength_figure",
    "subjects_figure",
    "texts_figure",
    "writers_figure",
]
