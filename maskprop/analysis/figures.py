"""Figures of the reports, drawn by matplotlib without a screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from maskprop.utils.files import replace_when_done
from maskprop.utils.text import escaped

MOST_CLASSES = 25  # in a figure: more can't be read


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all; its path."""
    with replace_when_done(path) as temporary:
        figure.savefig(temporary, format='png', dpi=110)
    return path


def draw_grid(names: Sequence[str], draw: Callable[[Any, str], None], x_label: str, columns: int = 3) -> Figure:
    """A figure with a panel for each name, which ``draw(axes, name)`` fills."""
    columns = max(1, min(columns, len(names)))
    rows = max(1, -(-len(names) // columns))
    figure = Figure(figsize=(4.2 * columns, 2.7 * rows), layout='constrained')
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(rows, columns, place)
        draw(axes, name)
        axes.set_title(plain(name), fontsize=10)
        axes.grid(alpha=0.3)
    figure.supxlabel(x_label, fontsize=10)
    return figure


def draw_confusion(names: Sequence[str], table: np.ndarray, edges: tuple[str, str]) -> Figure:
    """A table of classes, (C + 1, C + 1), coloured by the share of each row; ``edges``: last row, last column."""
    side = 2.2 + 0.42 * (len(names) + 1)
    figure = Figure(figsize=(side + 0.8, side), layout='constrained')
    axes = figure.add_subplot()
    sums = table.sum(axis=1, keepdims=True)
    axes.imshow(np.divide(table, sums, out=np.zeros(table.shape), where=sums > 0), cmap='Blues', vmin=0, vmax=1)
    for row, column in np.argwhere(table > 0).tolist():
        colour = 'white' if 2 * table[row, column] > sums[row, 0] else 'black'
        axes.text(column, row, str(table[row, column]), ha='center', va='center', fontsize=8, color=colour)
    labels = [plain(name)[:24] for name in names]
    axes.set_xticks(range(len(names) + 1), [*labels, edges[1]], rotation=60, ha='right', fontsize=8)
    axes.set_yticks(range(len(names) + 1), [*labels, edges[0]], fontsize=8)
    axes.set_xlabel('predicted as')
    axes.set_ylabel('ground truth')
    return figure


def draw_bars(values: Mapping[str, float], label: str) -> Figure:
    """Horizontal bars of numbers in percent, in their order."""
    figure = Figure(figsize=(6.4, 1.1 + 0.32 * len(values)), layout='constrained')
    axes = figure.add_subplot()
    places = np.arange(len(values))[::-1]
    bars = axes.barh(places, [100 * value for value in values.values()], 0.7)
    axes.bar_label(bars, fmt='%.1f', padding=3, fontsize=8)
    axes.set_yticks(places, [plain(name) for name in values])
    axes.margins(x=0.12)
    axes.set_xlabel(label)
    return figure


def draw_intervals(rows: Mapping[str, tuple[float, float, float]], label: str) -> Figure:
    """Differences in percent with their intervals: name -> (low, observed, high)."""
    figure = Figure(figsize=(7, 1.1 + 0.28 * len(rows)), layout='constrained')
    axes = figure.add_subplot()
    places = np.arange(len(rows))[::-1]
    low, middle, high = (100 * np.array(column) for column in zip(*rows.values(), strict=True))
    clear = (low > 0) | (high < 0)
    for chosen, colour in ((clear, 'tab:blue'), (~clear, 'tab:gray')):
        axes.hlines(places[chosen], low[chosen], high[chosen], color=colour)
        axes.plot(middle[chosen], places[chosen], 'o', color=colour)
    axes.axvline(0, color='black', linewidth=0.8)
    axes.set_yticks(places, [plain(name) for name in rows], fontsize=8)
    axes.grid(axis='x', alpha=0.3)
    axes.set_xlabel(label)
    return figure


def plain(text: str) -> str:
    """Text of one line in which matplotlib finds no formula."""
    return escaped(text).replace('$', r'\$')
