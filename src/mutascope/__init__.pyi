from .analysis.diff import word_diff
from .analysis.embeddings import embedding_frame
from .assays import ChoiceAssay, PanelAssay, TextAssay, load_assay
from .core.design import Design
from .core.errors import MutascopeError
from .core.genome import Genome, Locus, Mutant, Tiling
from .figures import draw_map, draw_sheet
from .findings import ScreenSet, build_table, draw_figure, open_many, write_figures, write_tables
from .model.loading import Model, load_genome, load_model
from .report import write_report
from .run.prediction import Prediction
from .run.screen import Screen
from .store.reader import ScreenData, open

__version__: str

__all__ = [
    "ChoiceAssay",
    "Design",
    "Genome",
    "Locus",
    "Model",
    "Mutant",
    "MutascopeError",
    "PanelAssay",
    "Prediction",
    "Screen",
    "ScreenData",
    "ScreenSet",
    "TextAssay",
    "Tiling",
    "build_table",
    "draw_figure",
    "draw_map",
    "draw_sheet",
    "embedding_frame",
    "load_assay",
    "load_genome",
    "load_model",
    "open",
    "open_many",
    "word_diff",
    "write_figures",
    "write_report",
    "write_tables",
]
