"""How mutants with rare words write and answer, beside the others: scatter, strips, and changes by genre or subject."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mutascope.figures.charts import INK, colour, legend_right, panels, plain
from mutascope.figures.palette import PAPER, Palette

_MOST_WORDS = 6
_SIGNIFICANT = 0.05


def quality_figure(profiles: Sequence[tuple[str, pl.DataFrame]], palette: Palette = PAPER) -> Figure:
    """Share of coherent outputs against the score in a choice assay, a panel per pair of panel and assay.

    Frames by title have columns word, rare, coherent, score, wild_right (null: unknown), a row per mutant. The
    dashed line is the wild type's score. A word has one colour in all panels.
    """
    figure, axes = panels(
        len(profiles), title="How well mutants write, and answer", size=(4.2, 2.8), columns=2
    )
    tops = [_top_words(frame) for _, frame in profiles]
    tints = {word: colour(palette, index) for index, word in enumerate(dict.fromkeys(chain(*tops)))}
    for axis, (title, frame), words in zip(axes, profiles, tops, strict=True):
        sorts = [("common words", "#bbbbbb", ~pl.col("rare"))]
        sorts += [(word, tints[word], pl.col("rare") & (pl.col("word") == word)) for word in words]
        others = pl.col("rare") & ~pl.col("word").is_in(words)
        if frame.select(others.any()).item():
            sorts.append(("other rare words", "#707070", others))
        random = np.random.default_rng(0)
        for name, tint, chosen in sorts:
            part = frame.filter(chosen)
            at = part["score"].to_numpy() + random.uniform(-0.25, 0.25, len(part))
            axis.scatter(
                at, 100 * part["coherent"].to_numpy(), s=12, color=tint, linewidths=0, label=plain(name)
            )
        if frame["wild_right"][0] is not None:
            axis.axvline(frame["wild_right"][0], color=INK, lw=0.8, ls="--")
        axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axis.set_ylim(-4, 104)
        axis.set_title(plain(title), fontsize=9)
        axis.set_xlabel("score (dashed: wild type)", fontsize=8)
        axis.set_ylabel("coherent outputs, %", fontsize=8)
        axis.legend(fontsize=6, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _top_words(frame: pl.DataFrame) -> list[str]:
    """The rare words with most mutants."""
    return frame.filter("rare")["word"].value_counts(sort=True)["word"].head(_MOST_WORDS).to_list()


def texts_figure(profiles: Sequence[tuple[str, pl.DataFrame]], palette: Palette = PAPER) -> Figure:
    """Cosines of mutants with rare and with common words in every text assay, a panel per panel.

    Frames by title have columns text_assay, rare, cosine, a row per mutant and text assay. Bars are medians.
    """
    most = max(frame["text_assay"].n_unique() for _, frame in profiles)
    size = (max(4.0, 1.5 * most + 1.0), 2.8)
    figure, axes = panels(
        len(profiles), title="Panelled mutants in text assays", size=size, columns=2, sharey=True
    )
    random = np.random.default_rng(0)
    for axis, (title, frame) in zip(axes, profiles, strict=True):
        texts = frame["text_assay"].unique(maintain_order=True).to_list()
        for index, (name, rare) in enumerate((("common words", False), ("rare words", True))):
            for place, text in enumerate(texts):
                cosine = frame.filter(text_assay=text, rare=rare)["cosine"].drop_nulls().to_numpy()
                at = place + 0.36 * index - 0.18
                spread = at + random.uniform(-0.12, 0.12, len(cosine))
                axis.scatter(
                    spread,
                    cosine,
                    s=8,
                    color=colour(palette, index),
                    linewidths=0,
                    alpha=0.6,
                    label=None if place else name,
                )
                if len(cosine):
                    axis.hlines(float(np.median(cosine)), at - 0.15, at + 0.15, color=INK, lw=1.4)
        axis.set_xticks(range(len(texts)), [plain(text) for text in texts])
        axis.set_ylim(-0.03, 1.03)
        axis.set_title(plain(title), fontsize=9)
        axis.set_ylabel("cosine with the wild type", fontsize=8)
    legend_right(figure, axes[0])
    return figure


def genres_figure(changes: Sequence[tuple[str, pl.DataFrame]], palette: Palette = PAPER) -> Figure:
    """Forms and quality of literary and factual outputs, of the wild type and of mutants, a panel per panel and who.

    Frames by title have columns measure, wild_literary, literary, wild_factual, factual, q, a row per measure.
    """
    figure, axes = panels(len(changes), title="Literary and factual outputs", size=(4.6, 2.9), columns=2)
    for axis, (title, frame) in zip(axes, changes, strict=True):
        measures = frame["measure"].to_list()
        for index, genre in enumerate(("literary", "factual")):
            at = np.arange(len(measures)) + 0.24 * index - 0.12
            before, after = (100 * frame[f"{whose}{genre}"].to_numpy() for whose in ("wild_", ""))
            tint = colour(palette, index)
            axis.hlines(at, before, after, color=tint, lw=1.2)
            axis.scatter(
                before, at, s=22, facecolor="white", edgecolor=tint, zorder=3, label=f"{genre}, wild type"
            )
            axis.scatter(after, at, s=22, color=tint, zorder=3, label=f"{genre}, mutants")
        _mark_lines(axis, measures, frame["q"])
        axis.set_xlim(-3, 103)
        axis.set_title(plain(title), fontsize=9)
        axis.set_xlabel("% of outputs, or mean (*: change differs, q ≤ 0.05)", fontsize=8)
    legend_right(figure, axes[0])
    return figure


def subjects_figure(subjects: Sequence[tuple[str, pl.DataFrame]], palette: Palette = PAPER) -> Figure:
    """Right answers by subject, of the wild type and of NSMs, a panel per assay.

    Frames by title have columns subject, questions, wild_right, mean_score, q, a row per subject.
    """
    most = max(len(frame) for _, frame in subjects)
    size = (5.4, 0.6 + max(1.8, 0.17 * most))
    figure, axes = panels(len(subjects), title="Right answers by subject", size=size, columns=2)
    for axis, (title, frame) in zip(axes, subjects, strict=True):
        at = np.arange(len(frame))
        before, after = (
            100 * (frame[name] / frame["questions"]).to_numpy() for name in ("wild_right", "mean_score")
        )
        axis.hlines(at, before, after, color=INK, lw=0.8)
        axis.scatter(
            before, at, s=18, facecolor="white", edgecolor=colour(palette, 0), zorder=3, label="wild type"
        )
        axis.scatter(after, at, s=18, color=colour(palette, 1), zorder=3, label="NSMs, mean")
        names = [plain(name.replace("_", " ")) for name in frame["subject"]]
        _mark_lines(axis, names, frame["q"])
        axis.set_title(plain(title), fontsize=9)
        axis.set_xlabel("right answers, % (*: change unlike the rest, q ≤ 0.05)", fontsize=8)
    legend_right(figure, axes[0])
    return figure


def _found(q: float | None) -> bool:
    return q is not None and q <= _SIGNIFICANT


def _mark_lines(axis: Axes, names: Sequence[str], q: pl.Series) -> None:
    """Name the lines of a chart, from above, with a star where something was found."""
    told = [f"{name} *" if _found(chance) else name for name, chance in zip(names, q, strict=True)]
    axis.set_yticks(range(len(names)), told, fontsize=8 if len(names) < 20 else 6)
    axis.set_ylim(len(names) - 0.5, -0.5)
