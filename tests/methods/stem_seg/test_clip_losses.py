"""Losses equal slow literal forms, and their gradients finite differences."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from maskprop.methods.stem_seg.clip_losses import (
    class_losses,
    embedding_losses,
    lovasz_hinge,
    object_maps,
)
from maskprop.methods.stem_seg.clip_targets import ClipTargets


def jaccard_loss(wrong: set[int], true: list[bool]) -> float:
    """1 - IoU of a prediction that is wrong at these pixels."""
    predicted = {i for i, t in enumerate(true) if t != (i in wrong)}
    wanted = {i for i, t in enumerate(true) if t}
    return 1 - len(predicted & wanted) / len(predicted | wanted) if predicted | wanted else 0.0


def lovasz_literal(logits: list[float], true: list[bool]) -> float:
    """The Lovasz extension by its definition: errors in descending order, times what each adds to the loss."""
    errors = [max(0.0, 1 - x * (1 if t else -1)) for x, t in zip(logits, true, strict=True)]
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    total = 0.0
    for rank, i in enumerate(order):
        total += errors[i] * (jaccard_loss({*order[: rank + 1]}, true) - jaccard_loss({*order[:rank]}, true))
    return total


@pytest.mark.parametrize('seed', range(4))
def test_lovasz_hinge_is_the_definition(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(3, 20, generator=generator, dtype=torch.float64)
    true = torch.rand(3, 20, generator=generator) < 0.4
    true[:, 0] = True
    expected = [lovasz_literal(x, t) for x, t in zip(logits.tolist(), true.tolist(), strict=True)]
    assert lovasz_hinge(logits, true).tolist() == pytest.approx(expected)


def test_lovasz_hinge_has_its_gradient():
    logits = torch.randn(2, 12, dtype=torch.float64, requires_grad=True, generator=None)
    true = torch.rand(2, 12) < 0.5
    true[:, 0] = True
    assert torch.autograd.gradcheck(lambda x: lovasz_hinge(x, true), logits)


def make_clip(objects: int, seed: int) -> tuple[torch.Tensor, ClipTargets]:
    """(7, 2, 3, 4) outputs and targets, some cells ignored, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    output = 0.5 * torch.randn(7, 2, 3, 4, generator=generator, dtype=torch.float64)
    output[6] = output[6].sigmoid()
    owner = torch.randint(0, objects + 2, (2, 3, 4), generator=generator)
    masks = torch.stack([owner == i for i in range(objects)]) if objects else torch.zeros(0, 2, 3, 4).bool()
    ignored = torch.rand(2, 3, 4, generator=generator) < 0.2
    return output, ClipTargets(masks, (owner < objects).long() * (owner + 1), ignored)


def literal_clip(output, target) -> dict[str, list[float]]:
    """Terms of a clip's losses, cell by cell."""
    cells = list(itertools.product(range(2), range(3), range(4)))
    value = {(k, *cell): float(output[(k, *cell)]) for k in range(7) for cell in cells}
    terms: dict[str, list[float]] = dict(lovasz=[], smoothness=[], seediness=[])
    background = [cell for cell in cells if not any(mask[cell] for mask in target.masks)]
    squares = [0.0 if target.ignored[cell] else value[(6, *cell)] ** 2 for cell in background]
    terms['seediness'].append(sum(squares) / len(squares))
    for mask in target.masks:
        own = [cell for cell in cells if mask[cell]]
        centre = [sum(value[(k, *cell)] for cell in own) / len(own) for k in range(4)]
        widths = [sum(10 * math.exp(value[(4 + k, *cell)]) for cell in own) / len(own) for k in range(2)]
        widths += [1 / 0.09] * 2
        probability = {
            cell: math.exp(-0.5 * sum(w * (value[(k, *cell)] - centre[k]) ** 2 for k, w in enumerate(widths)))
            for cell in cells
        }
        logits = [2 * probability[cell] - 1 for cell in cells]
        terms['lovasz'].append(lovasz_literal(logits, [bool(mask[cell]) for cell in cells]))
        means = [sum(value[(4 + k, *cell)] for cell in own) / len(own) for k in range(2)]
        spread = [(value[(4 + k, *cell)] - means[k]) ** 2 for k in range(2) for cell in own]
        terms['smoothness'].append(sum(spread) / len(spread))
        terms['seediness'].append(sum((value[(6, *cell)] - probability[cell]) ** 2 for cell in own) / len(own))
    return terms


@pytest.mark.parametrize('objects', [(2,), (3, 1), (2, 0, 1)])
def test_embedding_losses_are_the_literal_ones(objects):
    clips = [make_clip(count, seed) for seed, count in enumerate(objects)]
    found = embedding_losses(torch.stack([output for output, _ in clips]), [target for _, target in clips])
    terms = [literal_clip(*clip) for clip in clips]
    total = sum(objects)
    smooth = [sum(t['smoothness']) / len(t['smoothness']) for t in terms if t['smoothness']]
    assert float(found['lovasz']) == pytest.approx(sum(sum(t['lovasz']) for t in terms) / total)
    assert float(found['smoothness']) == pytest.approx(sum(smooth) / len(objects))
    assert float(found['seediness']) == pytest.approx(sum(sum(t['seediness']) for t in terms) / (total + 1))


def test_embedding_losses_have_their_gradients():
    """All but the seediness, in which the maps are constants."""
    output, target = make_clip(2, 5)

    def losses(x):
        found = embedding_losses(x, [target])
        return found['lovasz'], found['smoothness']

    assert torch.autograd.gradcheck(losses, output[None].requires_grad_())


def test_seediness_has_no_gradient_in_the_embeddings():
    output, target = make_clip(2, 5)
    output = output[None].requires_grad_()
    (gradient,) = torch.autograd.grad(embedding_losses(output, [target])['seediness'], output)
    assert gradient[:, :6].abs().max() == 0 and gradient[:, 6].abs().max() > 0


def test_clips_without_objects_reach_every_parameter():
    output, target = make_clip(0, 1)
    output = output[None].requires_grad_()
    losses = embedding_losses(output, [target])
    sum(losses.values()).backward()
    assert output.grad is not None and torch.isfinite(output.grad).all()
    assert float(losses['lovasz'].detach()) == float(losses['smoothness'].detach()) == 0


def test_maps_are_one_at_the_centre_and_fall():
    embeddings = torch.zeros(4, 1, 1, 3)
    embeddings[0, 0, 0] = torch.tensor([-0.1, 0.1, 0.4])
    masks = torch.tensor([[[[True, True, False]]]])
    maps = object_maps(embeddings, torch.zeros(2, 1, 1, 3), masks)[0, 0, 0]
    assert maps.tolist() == pytest.approx([math.exp(-0.5 * 10 * d**2) for d in (0.1, 0.1, 0.4)])


def test_class_losses_are_the_literal_ones():
    generator = torch.Generator().manual_seed(0)
    clips = [make_clip(2, 0), make_clip(1, 1)]
    logits = torch.randn(2, 5, 2, 3, 4, generator=generator, dtype=torch.float64)
    found = class_losses(logits, [target for _, target in clips])
    entropy, foreground = [], []
    for own, (_, target) in zip(logits, clips, strict=True):
        errors = []
        for cell in itertools.product(range(2), range(3), range(4)):
            scores = [float(own[(k, *cell)]) for k in range(4)]
            entropy.append(math.log(sum(map(math.exp, scores))) - scores[int(target.classes[cell])])
            if not target.ignored[cell]:
                sign = 1 if target.classes[cell] > 0 else -1
                errors.append(math.log(1 + math.exp(-sign * float(own[(4, *cell)]))))
        foreground.append(sum(errors) / len(errors))
    assert float(found['semantic']) == pytest.approx(sum(entropy) / len(entropy))
    assert float(found['foreground']) == pytest.approx(sum(foreground) / 2)
