"""FEELVOS's matching of embeddings (Section 3.3 and 3.4): exact, in bounded memory, without a custom kernel.

The distance of two cells is d = tanh(|e_p - e_q|^2 / 2). As tanh is monotone, the nearest cell is found by squared
distances, of which no more than ``ENTRIES`` exist at once.

Shapes: E channels, h x w cells of a frame, K objects; the background is one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

ENTRIES = 2**22  # squared distances that exist at once, 16 MiB: more leave a processor's cache


def normalise(squared: Tensor) -> Tensor:
    """Distances in [0, 1) of squared ones; 1 where there is none (infinity)."""
    return torch.tanh(squared / 2)


class Reference(NamedTuple):
    """Cells of the frame in which objects began, sorted by object, for the global matching.

    Attributes:
        cells: (E, R) float, their embeddings. norms: (R,) float, |e|^2.
        places: (R,) long, the cell's index in its frame.
        objects: the objects that have cells here. counts: how many, in the same order.
    """

    cells: Tensor
    norms: Tensor
    places: Tensor
    objects: list[int]
    counts: list[int]

    def without(self, objects: Sequence[int]) -> Reference:
        """The cells of all other objects."""
        if not set(objects) & set(self.objects):
            return self
        pairs = list(zip(self.objects, self.counts, strict=True))
        kept = torch.cat([torch.full((n,), label not in objects) for label, n in pairs]).to(self.norms.device)
        left = [(label, n) for label, n in pairs if label not in objects]
        return Reference(
            self.cells[:, kept],
            self.norms[kept],
            self.places[kept],
            [label for label, _ in left],
            [n for _, n in left],
        )


def make_reference(
    embedding: Tensor, labels: Tensor, objects: Sequence[int], at_most: int | None = None
) -> Reference:
    """The cells of some objects in a frame.

    Args:
        embedding: (E, h, w) float. labels: (h, w) integer, the object of each cell.
        objects: those that are wanted; others, and objects without a cell, are left out.
        at_most: so many random cells of each object; None: all.
    """
    flat, places, present = labels.flatten(), [], []
    for label in objects:
        found = (flat == label).nonzero()[:, 0]
        if at_most is not None and len(found) > at_most:
            found = found[torch.randperm(len(found), device=found.device)[:at_most]]
        if len(found):
            places.append(found)
            present.append(label)
    index = torch.cat(places) if places else flat.new_zeros(0, dtype=torch.long)
    cells = embedding.flatten(1)[:, index].float()
    return Reference(cells, cells.square().sum(0), index, present, [len(found) for found in places])


def global_distances(query: Tensor, references: Sequence[Reference], objects: Sequence[int]) -> Tensor:
    """Smallest squared distance of each cell to each object's reference cells.

    Args:
        query: (E, h, w) float.
        references: groups of cells; an object may have cells in several.
        objects: K objects, which give the order of the result.

    Returns:
        (K, h, w) float32, infinity where an object has no cell.
    """
    best = query.new_full((len(objects), query[0].numel()), torch.inf, dtype=torch.float32)
    rows = {label: row for row, label in enumerate(objects)}
    for reference in references:
        for start, partial in _partial_distances(query, reference):
            part = best[:, start : start + len(partial)]
            for label, own in zip(reference.objects, partial.split(reference.counts, dim=1), strict=True):
                if label in rows:
                    torch.minimum(part[rows[label]], own.amin(1), out=part[rows[label]])
    return best.add_(query.flatten(1).float().square().sum(0)).clamp_(min=0).unflatten(1, query.shape[-2:])


def nearest_references(query: Tensor, reference: Reference, objects: Sequence[int]) -> Tensor:
    """(K, h w) long: for each cell and object the nearest reference cell, as its index in its frame; -1: none."""
    nearest = torch.full((len(objects), query[0].numel()), -1, device=query.device)
    for start, partial in _partial_distances(query, reference):
        first = 0
        for label, own in zip(reference.objects, partial.split(reference.counts, dim=1), strict=True):
            if label in objects:
                found = reference.places[first + own.argmin(1)]
                nearest[objects.index(label), start : start + len(partial)] = found
            first += own.shape[1]
    return nearest


def _partial_distances(query: Tensor, reference: Reference) -> Iterator[tuple[int, Tensor]]:
    """(first query, (Q, R) squared distances less the query's own |e|^2), so many queries at a time.

    What is the same for all of a query's distances is added to the smallest one: a pass over all of them less.
    """
    cells = query.flatten(1).float()
    step = max(ENTRIES // max(len(reference.norms), 1), 1)
    # not in half precision or TF32: small distances are differences of large numbers
    with torch.autocast(query.device.type, enabled=False):
        for start in range(0, cells.shape[1] if len(reference.norms) else 0, step):
            own = cells[:, start : start + step]
            yield start, torch.addmm(reference.norms, own.T, reference.cells, alpha=-2)


def local_distances(
    query: Tensor, previous: Tensor, labels: Tensor, objects: Sequence[int], radius: int = 15
) -> Tensor:
    """Smallest squared distance of each cell to each object's cells near it in the previous frame.

    Args:
        query, previous: (E, h, w) float. labels: (h, w) integer, of the previous frame.
        objects: K objects. radius: cells at most that far in each direction count: (2 radius + 1)^2 in all.

    Returns:
        (K, h, w) float32, infinity where an object has no cell near.
    """
    best = query.new_full((len(objects), *query.shape[1:]), torch.inf, dtype=torch.float32)
    for rows, _, window, near, present in _windows(query, previous, labels, radius):
        for row, label in enumerate(objects):
            if label in present:
                own = window.masked_fill(near != label, torch.inf).amin(-1)
                torch.minimum(best[row, rows], own, out=best[row, rows])
    return best.add_(query.float().square().sum(0)).clamp_(min=0)


def nearest_in_window(
    query: Tensor, previous: Tensor, labels: Tensor, objects: Sequence[int], radius: int = 15
) -> Tensor:
    """(K, h w) long: for each cell and object the nearest near cell of the previous frame; -1: there is none."""
    height, width = query.shape[1:]
    best = query.new_full((len(objects), height, width), torch.inf, dtype=torch.float32)
    nearest = torch.full(best.shape, -1, device=query.device)
    columns = torch.arange(width, device=query.device)
    for rows, shift, window, near, present in _windows(query, previous, labels, radius):
        first = torch.arange(rows.start, rows.stop, device=query.device)[:, None] + shift  # row of the window
        for row, label in enumerate(objects):
            if label not in present:
                continue
            distance, place = window.masked_fill(near != label, torch.inf).min(-1)
            nearer = distance < best[row, rows]
            index = first * width + columns + place - radius
            nearest[row, rows] = torch.where(nearer, index, nearest[row, rows])
            best[row, rows] = torch.where(nearer, distance, best[row, rows])
    return nearest.flatten(1)


def _windows(
    query: Tensor, previous: Tensor, labels: Tensor, radius: int
) -> Iterator[tuple[slice, int, Tensor, Tensor, set[int]]]:
    """The windows, one of their rows at a time.

    Yields:
        rows of the query (b of them), the window's row relative to them, (b, w, 2 radius + 1) squared distances
        less the query's own |e|^2 to the cells of that row from radius to the left to radius to the right, the
        labels of these cells, -1 outside of the picture, and which labels there are.
    """
    height, width = labels.shape
    across = 2 * radius + 1
    # rows first: a row with a row is then one matrix product
    own, other = (frame.float().permute(1, 2, 0).contiguous() for frame in (query, previous))
    near_norms = F.pad(other.square().sum(-1), (radius, radius)).unfold(1, across, 1)  # [h, w, across], a view
    other = F.pad(other, (0, 0, radius, radius))
    near = F.pad(labels, (radius, radius), value=-1).unfold(1, across, 1)
    present = [set(row) for row in labels.tolist()]
    band = max(ENTRIES // (width * (width + 2 * radius)), 1)
    with torch.autocast(query.device.type, enabled=False):
        for shift in range(-min(radius, height - 1), min(radius, height - 1) + 1):
            for start in range(max(-shift, 0), height - max(shift, 0), band):
                stop = min(start + band, height - max(shift, 0))
                there = slice(start + shift, stop + shift)
                products = own[start:stop] @ other[there].mT  # [b, w, w + 2 radius]
                # of cell x the columns x to x + 2 radius: a diagonal band, which is a view
                rows, full = stop - start, width + 2 * radius
                window = products.as_strided((rows, width, across), (width * full, full + 1, 1))
                partial = torch.add(near_norms[there], window, alpha=-2)
                yield slice(start, stop), shift, partial, near[there], set().union(*present[there])


def distances_to(query: Tensor, frame: Tensor, nearest: Tensor) -> Tensor:
    """Squared distances to given cells, with gradients to both frames.

    Args:
        query, frame: (E, h, w) float. nearest: (K, h w) long, cells of ``frame``; -1: none.

    Returns:
        (K, h, w) float32, infinity where there is none.
    """
    own, cells = query.flatten(1).float(), frame.flatten(1).float()
    rows = [(own - cells[:, index.clamp(min=0)]).square().sum(0) for index in nearest]
    squared = torch.stack(rows).masked_fill(nearest < 0, torch.inf)
    return squared.unflatten(1, query.shape[-2:])


def subsample_labels(labels: Tensor, size: Sequence[int]) -> Tensor:
    """(H, W) labels at (h, w) cells: the nearest pixel, the corners on the corners.

    Not torch's ``nearest`` or ``nearest-exact``, which take other pixels.
    """
    height, width = (_nearest(*pair).to(labels.device) for pair in zip(labels.shape, size, strict=True))
    return labels[height[:, None], width]


def _nearest(pixels: int, cells: int) -> Tensor:
    scale = torch.tensor((pixels - 1) / max(cells - 1, 1), dtype=torch.float32)
    return (torch.arange(cells) * scale + 0.5).floor().long()
