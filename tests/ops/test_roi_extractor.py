"""RoI features with one wait: mmdet's to the bit, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from maskprop.ops.roi_extractor import OneWaitRoIExtractor, SingleRoIExtractor, wait_once

STRIDES = [4, 8, 16, 32]


def extractor(cls: type = SingleRoIExtractor) -> SingleRoIExtractor:
    layer = dict(type='RoIAlign', output_size=7, sampling_ratio=0)
    return cls(roi_layer=layer, out_channels=3, featmap_strides=STRIDES)


def features(levels: int = 4, frames: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    return tuple(
        torch.randn(frames, 3, 256 // stride, 320 // stride, generator=generator).requires_grad_()
        for stride in STRIDES[:levels]
    )


def boxes(sides: list[float]) -> Tensor:
    """RoIs of these sides, of two frames in turn."""
    return torch.tensor(
        [[index % 2, 5 + index, 9, 5 + index + side, 9 + side] for index, side in enumerate(sides)]
    )


ALL_LEVELS = [20, 300, 150, 111.9, 112, 240, 500, 40, 448, 224, 1]


@pytest.mark.parametrize(
    ('sides', 'scale', 'levels'),
    [
        (ALL_LEVELS, None, 4),
        (ALL_LEVELS, 1.3, 4),
        (ALL_LEVELS, None, 3),
        (ALL_LEVELS, None, 1),
        ([300, 310, 305], None, 4),
        ([20], None, 4),
        ([], None, 4),
    ],
)
def test_features_and_gradients_are_those_of_mmdet(sides: list[float], scale: float | None, levels: int) -> None:
    rois, found = boxes(sides).reshape(-1, 5), []
    for cls in (SingleRoIExtractor, OneWaitRoIExtractor):
        feats = features(levels)
        pooled = extractor(cls)(feats, rois, scale)
        gradients = torch.autograd.grad((pooled * torch.arange(1.0, 8)).sum(), feats)
        found.append((pooled, *gradients))
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape and torch.equal(ours, theirs)


@pytest.mark.parametrize('value', [float('nan'), -float('inf'), float('inf')])
def test_rois_that_are_not_finite_have_zeros(value: float) -> None:
    """In mmdet those of nan and -inf are of no level, while inf ends the process."""
    rois = boxes(ALL_LEVELS)
    rois[::3, 3] = value
    pooled = extractor(OneWaitRoIExtractor)(features(), rois)
    assert not pooled[::3].any() and pooled[1].any()
    if value != float('inf'):
        assert torch.equal(pooled, extractor()(features(), rois))


@pytest.mark.parametrize('kind', [torch.bfloat16, torch.float16])
def test_half_precision(kind: torch.dtype) -> None:
    feats = tuple(level.detach().to(kind) for level in features())
    ours, theirs = (extractor(cls)(feats, boxes(ALL_LEVELS)) for cls in (OneWaitRoIExtractor, SingleRoIExtractor))
    assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


def test_sizes_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for name in ('nonzero', 'tolist', 'item', 'cpu'):
        monkeypatch.setattr(Tensor, name, _counted(getattr(Tensor, name), name, asked))
    extractor(OneWaitRoIExtractor)(features(), boxes(ALL_LEVELS))
    assert asked == ['tolist']


def _counted(call, name: str, asked: list[str]):
    def counted(self: Tensor, *args, **kwargs):
        asked.append(name)
        return call(self, *args, **kwargs)

    return counted


def test_only_plain_extractors_change_and_weights_stay() -> None:
    class Own(SingleRoIExtractor):
        pass

    model = nn.ModuleList([extractor(), extractor(Own)])
    wait_once(model)
    assert [type(part) for part in model] == [OneWaitRoIExtractor, Own]
