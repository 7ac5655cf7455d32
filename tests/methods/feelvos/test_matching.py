"""FEELVOS's matching equals a double loop over cells, in values and gradients, whatever is computed at once."""

from __future__ import annotations

import itertools

import pytest
import torch

from maskprop.methods.feelvos import matching
from maskprop.methods.feelvos.matching import (
    distances_to,
    global_distances,
    local_distances,
    make_reference,
    nearest_in_window,
    nearest_references,
    normalise,
    subsample_labels,
)

HEIGHT, WIDTH, OBJECTS = 7, 9, [0, 3, 5, 8]  # of which 8 has no cell


@pytest.fixture(params=[2**22, 40], ids=['at once', 'in many parts'])
def entries(request, monkeypatch):
    monkeypatch.setattr(matching, 'ENTRIES', request.param)


def make_frames(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two embeddings (4, 7, 9) and the labels of the second."""
    generator = torch.Generator().manual_seed(seed)
    query, frame = torch.rand(2, 4, HEIGHT, WIDTH, generator=generator)
    labels = torch.tensor([0, 3, 5])[torch.randint(0, 3, (HEIGHT, WIDTH), generator=generator)]
    return query, frame, labels


def literal(query, frame, labels, objects, radius=None) -> torch.Tensor:
    """d = 1 - 2 / (1 + exp |e_p - e_q|^2), its smallest value over the object's cells, 1 without one."""
    result = torch.ones(len(objects), HEIGHT, WIDTH)
    cells = list(itertools.product(range(HEIGHT), range(WIDTH)))
    for (y, x), (v, u) in itertools.product(cells, cells):
        if radius is not None and max(abs(y - v), abs(x - u)) > radius:
            continue
        distance = 1 - 2 / (1 + ((query[:, y, x] - frame[:, v, u]) ** 2).sum().exp())
        if int(labels[v, u]) in objects:
            row = objects.index(int(labels[v, u]))
            result[row, y, x] = torch.minimum(result[row, y, x].clone(), distance)
    return result


def test_global_distances(entries):
    query, frame, labels = make_frames()
    reference = make_reference(frame, labels, OBJECTS)
    assert reference.objects == [0, 3, 5] and sum(reference.counts) == HEIGHT * WIDTH
    found = normalise(global_distances(query, [reference], OBJECTS))
    torch.testing.assert_close(found, literal(query, frame, labels, OBJECTS), atol=1e-6, rtol=0)


def test_global_distances_to_cells_of_several_frames(entries):
    """The background of two frames, objects that began in one of them, and one that was ended."""
    query, first, labels = make_frames()
    _, second, later = make_frames(1)
    references = [make_reference(first, labels, [0, 3, 5]), make_reference(second, later, [0])]
    references[0] = references[0].without([5])
    found = normalise(global_distances(query, references, [0, 3, 5]))
    literals = literal(query, first, labels, [0, 3]), literal(query, second, later, [0])
    torch.testing.assert_close(found[0], torch.minimum(literals[0][0], literals[1][0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[1], literals[0][1], atol=1e-6, rtol=0)
    assert (found[2] == 1).all()


@pytest.mark.parametrize('radius', [0, 2, 20])
def test_local_distances(radius, entries):
    query, frame, labels = make_frames()
    found = normalise(local_distances(query, frame, labels, OBJECTS, radius))
    torch.testing.assert_close(found, literal(query, frame, labels, OBJECTS, radius), atol=1e-6, rtol=0)


@pytest.mark.parametrize('radius', [pytest.param(None, marks=pytest.mark.slow), 2])
def test_gradients_are_those_of_the_literal_form(radius, entries):
    found = []
    for form in ('literal', 'nearest'):
        query, frame, labels = make_frames()
        query.requires_grad_(), frame.requires_grad_()
        if form == 'literal':
            distances = literal(query, frame, labels, OBJECTS, radius)
        elif radius is None:
            nearest = nearest_references(query.detach(), make_reference(frame.detach(), labels, OBJECTS), OBJECTS)
            distances = normalise(distances_to(query, frame, nearest))
        else:
            nearest = nearest_in_window(query.detach(), frame.detach(), labels, OBJECTS, radius)
            distances = normalise(distances_to(query, frame, nearest))
        weights = torch.rand(distances.shape, generator=torch.Generator().manual_seed(2))
        (distances * weights).sum().backward()
        found.append((distances.detach(), query.grad, frame.grad))
    for ours, expected in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_at_most_so_many_reference_cells_of_each_object():
    _, frame, labels = make_frames()
    reference = make_reference(frame, labels, [3, 0], at_most=5)
    assert reference.objects == [3, 0] and reference.counts == [5, 5]
    assert labels.flatten()[reference.places].tolist() == [3] * 5 + [0] * 5
    torch.testing.assert_close(reference.cells, frame.flatten(1)[:, reference.places])


def test_no_reference_at_all():
    query, frame, labels = make_frames()
    reference = make_reference(frame, labels, [8])
    assert (global_distances(query, [reference], [8]) == torch.inf).all()
    assert (nearest_references(query, reference, [8]) == -1).all()


@pytest.mark.parametrize('pixels', [1, 4, 5, 33, 352, 360, 480, 854])
def test_labels_keep_the_corners(pixels):
    """The nearest of the pixels to points that are evenly spaced from the first to the last."""
    cells = -(-pixels // 4)
    labels = torch.arange(pixels)[:, None].expand(-1, 2)
    found = subsample_labels(labels, (cells, 1))[:, 0].double()
    exact = torch.linspace(0, pixels - 1, cells, dtype=torch.float64)
    assert found[0] == 0 and (cells == 1 or found[-1] == pixels - 1)
    assert (found - exact).abs().max() <= 0.5 + 1e-4
