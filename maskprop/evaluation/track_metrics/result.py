"""What the track metrics give: sums by class, from which all numbers follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from maskprop.utils.text import one_line

from . import clear, hota, identity
from .overlaps import TrackOverlaps

#: By their names in options and files. Each has ``count``, ``numbers``, ``RATES``, ``COUNTS`` and ``TITLE``.
KINDS: dict[str, ModuleType] = dict(hota=hota, clear=clear, identity=identity)


@dataclass
class TrackResult:
    """HOTA, CLEAR and identity metrics of one set of results.

    Attributes:
        kinds: which of ``KINDS``. category_names: {id: name}.
        class_agnostic: all categories are one. min_score: predictions of a lower score took no part.
        sums: {kind: {category id: sums over its videos}}, also of categories that only predictions have.
        num_tracks: {category id: ground-truth tracks}. num_predictions: predictions that took part.
        videos: the same of each video alone, in the order of the ground truth; None if that was not asked for.
    """

    kinds: tuple[str, ...]
    category_names: dict[int, str]
    class_agnostic: bool
    min_score: float
    sums: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    num_tracks: dict[int, int] = field(default_factory=dict)
    num_predictions: int = 0
    videos: list[TrackResult] | None = None

    def empty(self) -> TrackResult:
        """Of the same settings, with nothing counted."""
        return TrackResult(self.kinds, self.category_names, self.class_agnostic, self.min_score)

    def count(self, category: int, overlaps: TrackOverlaps, num_predictions: int) -> None:
        """Count the tracks of one class, which has none yet, in one video."""
        self.num_predictions += num_predictions
        if len(overlaps.truths):
            self.num_tracks[category] = len(overlaps.truths)
        for kind in self.kinds:
            self.sums.setdefault(kind, {})[category] = KINDS[kind].count(overlaps)

    def add(self, other: TrackResult) -> None:
        """Count what was counted of other videos."""
        self.num_predictions += other.num_predictions
        for category, number in other.num_tracks.items():
            self.num_tracks[category] = self.num_tracks.get(category, 0) + number
        for kind, by_category in other.sums.items():
            of_kind = self.sums.setdefault(kind, {})
            for category, counted in by_category.items():
                of_kind[category] = _added(of_kind[category], counted) if category in of_kind else counted

    def overall(self, kind: str) -> dict[str, float]:
        """The numbers over all classes, every mask counting alike; rates in 0..1, but for MOTSA and sMOTSA."""
        nothing = KINDS[kind].count(_NO_TRACKS)
        for counted in self.sums.get(kind, {}).values():
            nothing = _added(nothing, counted)
        return KINDS[kind].numbers(nothing)

    def per_category(self, kind: str) -> dict[int, dict[str, float]]:
        """{category id: its numbers}, of those with ground truth, by ascending id; empty if class-agnostic."""
        if self.class_agnostic:
            return {}
        return {category: KINDS[kind].numbers(self.sums[kind][category]) for category in sorted(self.num_tracks)}

    def mean(self, kind: str) -> dict[str, float]:
        """Means of the rates of the categories with ground truth; empty if there are none."""
        found = list(self.per_category(kind).values())
        return {name: float(np.mean([row[name] for row in found])) for name in KINDS[kind].RATES} if found else {}

    def metrics(self) -> dict[str, float]:
        """The overall numbers of all kinds, by name."""
        return {name: value for kind in self.kinds for name, value in self.overall(kind).items()}

    def to_dict(self) -> dict[str, Any]:
        """What metrics.json holds, one entry a kind, numbers at full precision."""
        return {
            kind: {
                **self.overall(kind),
                'mean_over_categories': self.mean(kind),
                'per_category': {
                    str(category): {'name': self.category_names[category], **row}
                    for category, row in self.per_category(kind).items()
                },
                'num_tracks': sum(self.num_tracks.values()),
                'num_predictions': self.num_predictions,
                'min_score': self.min_score,
            }
            for kind in self.kinds
        }

    def table(self) -> str:
        """A table a kind: over all classes, the mean of the classes, and each class with ground truth."""
        return '\n\n'.join(self._table(kind) for kind in self.kinds)

    def _table(self, kind: str) -> str:
        metric = KINDS[kind]
        rows = [('', 'all', self.overall(kind))]
        if not self.class_agnostic:
            rows.append(('', 'mean of the classes', self.mean(kind)))
            rows += [(str(i), one_line(self.category_names[i]), row) for i, row in self.per_category(kind).items()]
        width = max(len(name) for _, name, _ in rows)
        lines = [
            f'{metric.TITLE} (rates in %; {self.num_predictions} predictions scored {self.min_score:g} or more, '
            f'{sum(self.num_tracks.values())} ground-truth tracks)',
            f'{"id":>6}  {"category":<{width}}  '
            + ' '.join(f'{name:>6}' for name in metric.RATES + metric.COUNTS),
        ]
        for number, name, row in rows:
            cells = [f'{100 * row[rate]:.1f}' if rate in row else '-' for rate in metric.RATES]
            cells += [str(row.get(count, '')) for count in metric.COUNTS]
            lines.append(f'{number:>6}  {name:<{width}}  {" ".join(f"{cell:>6}" for cell in cells)}'.rstrip())
        return '\n'.join(lines)


_NO_TRACKS = TrackOverlaps(np.zeros((0, 0), np.bool_), np.zeros((0, 0), np.bool_), np.zeros((0, 0, 0)))


def _added(ones: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    return {name: value + others[name] for name, value in ones.items()}
