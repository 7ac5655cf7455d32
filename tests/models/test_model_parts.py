"""A model's keys: heads under any name, the stream's options, and what is refused with a sentence."""

import inspect

import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.model import BaseModule
from torch import nn

from maskprop.engine.config import ConfigError
from maskprop.models import VideoMaskRCNN
from maskprop.structures import PerInstance
from tests.models.builders import TRACK, build_model, known_frame, make_batch, make_detections


@MODELS.register_module()
class LuckyHead(BaseModule):
    """A head that no file of the package knows."""

    def __init__(self) -> None:
        super().__init__()
        self.guess = nn.Parameter(torch.tensor(7.0))

    def encode(self, view, instances):
        return PerInstance(self.guess.detach() + instances.scores)

    def loss(self, pairs):
        return dict(loss_luck=self.guess * sum(len(sample.gt_instances) for sample in pairs.keys))


@TASK_UTILS.register_module()
class LuckyLinker:
    needs_clips = False
    needs = ('lucky_head',)

    def link(self, frame):
        return [None if luck < 7.5 else 1 + row for row, luck in enumerate(frame.codes['lucky_head'].values)]


def test_a_new_head_trains_encodes_and_is_read_by_its_linker():
    model = build_model(lucky_head=dict(type='LuckyHead'), linker=dict(type='LuckyLinker'), merge_iou=None)
    assert list(model.heads) == ['propagation_head', 'lucky_head'] and 'lucky_head.guess' in model.state_dict()
    losses = model.train().loss(*make_batch(([1, 2], [2]), ([3], [])))
    assert float(losses['loss_luck']) == 3 * 7 and 'loss_prop' in losses
    model.eval()
    stream = model.start_video()
    assert stream.needs == {'lucky_head'}
    detections = make_detections(6)
    (result,) = stream.push(known_frame(model, detections))
    expected = [1 + row for row, score in enumerate(detections.scores.tolist()) if 7 + score >= 7.5]
    assert 0 < len(expected) < 6 and result.ids == expected
    assert result.scores == pytest.approx([float(detections.scores[i - 1]) for i in expected])


def test_a_frozen_head_has_no_loss():
    model = build_model(lucky_head=dict(type='LuckyHead'), frozen=('lucky_head',)).train()
    assert 'loss_luck' not in model.loss(*make_batch(([1], [1])))
    assert not model.lucky_head.guess.requires_grad


def test_the_model_itself_is_small():
    parameters = list(inspect.signature(VideoMaskRCNN.__init__).parameters)
    assert len(parameters) - 1 <= 12  # self
    assert len(inspect.getsource(inspect.getmodule(VideoMaskRCNN)).splitlines()) <= 230


@pytest.mark.parametrize(
    ('keys', 'error', 'says'),
    [
        (
            dict(mask_source='ground_truth'),
            ConfigError,
            'model.mask_source is now model.propagation_head.mask_source',
        ),
        (dict(detach_masks=False), ConfigError, 'model.detach_masks is now model.propagation_head.detach_masks'),
        (dict(clip_raduis=3), TypeError, "unexpected keyword argument 'clip_raduis'"),
        (dict(lucky_head='LuckyHead'), ConfigError, "model.lucky_head='LuckyHead': expected the config of a head"),
        (dict(track_head={**TRACK, 'type': 'RoITrackHead'}), ConfigError, 'RoITrackHead use TrackHead'),
        (dict(lucky_head=dict(type='SoftIoULoss')), ConfigError, r'encode\(view, instances\) and loss\(pairs\)'),
        (dict(mask_paste='fuzzy'), ValueError, "mask_paste='fuzzy' is unknown"),
    ],
)
def test_what_is_refused(keys, error, says):
    with pytest.raises(error, match=says):
        build_model(**keys)


def test_a_stream_needs_the_heads_that_its_parts_read():
    model = build_model().eval()
    with pytest.raises(ValueError, match='LuckyLinker needs a lucky_head, and the model has none'):
        model.start_video(linker=dict(type='LuckyLinker'))
    with pytest.raises(ValueError, match='refine=True needs a refinement_head'):
        model.start_video(refine=True)
    with pytest.raises(TypeError, match='clip_raduis'):
        model.start_video(clip_raduis=3)


def test_a_head_of_none_is_none():
    model = build_model(lucky_head=None, propagation_head=None, linker=dict(type='BoxIoULinker'))
    assert model.heads == {} and model.propagator is None
