"""A study's plot: a line over its axis, or bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from maskprop.ablation.study import Study
from maskprop.ablation.tables import RowScores, mean_and_spread
from maskprop.utils.files import replace_when_done

PLOTTED = ('AP', 'AP75')


def write_plot(path: Path, study: Study, scores: list[RowScores]) -> None:
    """Draw AP and AP75 of all rows with their spread over the seeds, and the paper's numbers.

    Args:
        path: PNG file. study: with ``x_label`` and rows with ``x`` for a line; else bars.
    """
    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.6 if study.x_label else 1.4 + 0.45 * len(scores)))
    (_draw_line if study.x_label else _draw_bars)(axes, study, scores)
    axes.set_title(study.title, fontsize=10)
    axes.legend(fontsize=8)
    figure.tight_layout()
    with replace_when_done(path) as temporary:
        figure.savefig(temporary, format='png', dpi=120)
    pyplot.close(figure)


def _statistics(scores: list[RowScores], metric: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [mean_and_spread(row.metrics[metric]) for row in scores]
    return np.array([mean for mean, _ in pairs]), np.array([spread or 0.0 for _, spread in pairs])


def _draw_line(axes: Any, study: Study, scores: list[RowScores]) -> None:
    placed = sorted(((s.row.x, s) for s in scores if s.row.x is not None), key=lambda pair: pair[0])
    x, scores = [place for place, _ in placed], [s for _, s in placed]
    for metric in PLOTTED:
        mean, spread = _statistics(scores, metric)
        (line,) = axes.plot(x, mean, marker='o', label=metric)
        axes.fill_between(x, mean - spread, mean + spread, alpha=0.2, color=line.get_color())
    axes.set_xlabel(study.x_label)
    axes.set_ylabel('video AP (%)')
    axes.set_xticks(x)


def _draw_bars(axes: Any, study: Study, scores: list[RowScores]) -> None:
    places = np.arange(len(scores))[::-1]
    for offset, metric in zip((0.2, -0.2), PLOTTED, strict=True):
        mean, spread = _statistics(scores, metric)
        bars = axes.barh(places + offset, mean, 0.38, xerr=spread, label=metric)
        paper = [
            (place + offset, s.row.paper[metric])
            for place, s in zip(places, scores, strict=True)
            if metric in s.row.paper
        ]
        if paper:
            y, values = zip(*paper, strict=True)
            colour = bars.patches[0].get_facecolor()
            label = f'{metric}, the paper on its own set'
            axes.plot(values, y, 'D', markeredgecolor='black', color=colour, label=label)
    axes.set_yticks(places, [s.row.name for s in scores])
    axes.set_xlabel('video AP (%)')
