"""The crop segmenter, the embeddings and the classes of crops, in a stream and alone."""

from __future__ import annotations

import copy

import pycocotools.mask as mask_utils
import pytest
import torch
from mmengine.config import Config
from torch import nn

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.engine.config import ConfigError  # noqa: E402
from maskprop.methods.ensemble_vis.crop_classifier import CropAccuracy  # noqa: E402
from maskprop.methods.ensemble_vis.windows import context_windows, crop  # noqa: E402
from tests.models.builders import (  # noqa: E402
    CLASSES,
    HEIGHT,
    WIDTH,
    build_model,
    make_batch,
    make_detections,
    view_of,
)

CONFIG = Config.fromfile('configs/ensemble_vis/ensemble_vis_tiny_synthetic.py')


@MODELS.register_module()
class BoxIsMask(nn.Module):
    """A segmenter that takes the whole box for the object; at half the size, as nets are."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(4.0))

    def forward(self, pictures):
        guide = nn.functional.avg_pool2d(pictures[:, 3:], 2)
        return torch.cat([-guide, guide], 1) * self.scale


def segmenter(**keys) -> nn.Module:
    return MODELS.build(
        dict(type='BoxSegmentationHead', **(dict(net=dict(type='BoxIsMask'), patch_size=64, margin=5) | keys))
    )


@pytest.mark.parametrize('letter', [False, True])
def test_masks_lie_in_the_video_where_their_boxes_are(letter):
    """The video is twice as high and three times as wide as the network's input, half of which is padding."""
    boxes = torch.tensor([[4.0, 6.0, 20.0, 18.0], [25.0, 2.0, 47.0, 30.0]])
    detections = make_detections(2)._replace(boxes=boxes, roi_masks=None)
    meta = dict(img_shape=(HEIGHT // 2, WIDTH // 2), ori_shape=(HEIGHT, 3 * WIDTH // 2), scale_factor=(1 / 3, 0.5))
    view = view_of(build_model(), torch.rand(1, 3, HEIGHT, WIDTH), meta)
    found = segmenter(letter=letter).encode(view, detections).values
    for rle, (x1, y1, x2, y2) in zip(found, boxes.tolist(), strict=True):
        mask = torch.from_numpy(mask_utils.decode(rle))
        assert tuple(mask.shape) == meta['ori_shape']
        expected = torch.zeros_like(mask)
        expected[int(2 * y1) : int(2 * y2), int(3 * x1) : int(3 * x2)] = 1
        assert (mask & expected).sum() / (mask | expected).sum() > 0.85
    assert segmenter().encode(view, detections.select(torch.tensor([], dtype=torch.long))).values == []


def test_chunks_don_t_change_the_masks():
    torch.manual_seed(0)
    net = CONFIG.model.refinement_head.net
    image, boxes = torch.rand(1, 3, HEIGHT, WIDTH), make_detections(5).boxes
    whole = segmenter(net=net, chunk=5).eval()
    parts = segmenter(net=net, chunk=2).eval()
    parts.load_state_dict(whole.state_dict())
    assert torch.allclose(whole.refine(image, boxes)[0], parts.refine(image, boxes)[0], atol=1e-5)


def test_loss_is_that_of_masks_in_their_windows():
    """The box is the mask: right boxes cost little, shifted ones more; nothing but the drawn ones counts."""
    image, masks = torch.rand(3, HEIGHT, WIDTH), torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    boxes = torch.tensor([[10.0, 10.0, 40.0, 40.0], [50.0, 20.0, 80.0, 50.0]])
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    head = segmenter()
    right = head.mask_losses([image], [boxes], [masks])['loss_segment'].detach()
    off = head.mask_losses([image], [boxes + 8], [masks])['loss_segment']
    assert right < 0.3 * off
    images, all_boxes, all_masks = [image] * 2, [boxes[:0], boxes], [masks[:0], masks]
    assert float(head.mask_losses(images, all_boxes, all_masks)['loss_segment'].detach()) == pytest.approx(
        float(right)
    )
    none = head.mask_losses([image], [boxes[:0]], [masks[:0]])['loss_segment']
    none.backward()
    assert float(none.detach()) == 0 and head.net.scale.grad is not None
    one = segmenter(max_instances=1)
    assert one.mask_losses([image], [boxes], [masks])['loss_segment'].isfinite()


def test_jitter_stays_in_the_image_and_is_limited():
    torch.manual_seed(0)
    boxes = torch.tensor([[30.0, 20.0, 50.0, 40.0]]).repeat(2000, 1)
    moved = segmenter(box_jitter=0.05).jitter(boxes, (HEIGHT, WIDTH)) - boxes
    assert moved.abs().max() == pytest.approx(2.5) and moved.std() == pytest.approx(1.0, abs=0.05)
    inside = segmenter(box_jitter=1.0).jitter(boxes, (HEIGHT, WIDTH))
    assert inside.min() >= 0 and inside[:, ::2].max() <= WIDTH and inside[:, 1::2].max() <= HEIGHT


def test_one_object_is_a_batch():
    """The tiny net in training mode, on a frame with a single object."""
    model = pipeline().train()
    inputs, samples = make_batch(([1], [1]))
    loss, _ = model.parse_losses(model.loss(inputs, samples))
    loss.backward()
    trained = {name.partition('.')[0] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {'refinement_head'} and loss.isfinite()


@pytest.mark.parametrize(
    'keys', [dict(patch_size=0), dict(margin=-1), dict(box_jitter=-0.1), dict(chunk=0)], ids=str
)
def test_bad_keys(keys):
    with pytest.raises(ValueError, match=next(iter(keys))):
        segmenter(**keys)


def test_weights_for_rgb_are_taken_and_the_box_s_are_not():
    torch.manual_seed(0)
    small = dict(depth=18, base_channels=4, out_indices=(0, 3))
    plain = MODELS.build(dict(type='ResNet', **small))
    guided = MODELS.build(dict(type='GuidedResNet', **small))
    own = guided.conv1.weight[:, 3:].clone()
    guided.load_state_dict(plain.state_dict())
    assert torch.equal(guided.conv1.weight[:, :3], plain.conv1.weight)
    assert torch.equal(guided.conv1.weight[:, 3:], own) and own.abs().sum() > 0


def pipeline(**keys) -> nn.Module:
    """The tiny config's heads on the tests' model; the net has as many classes as the tests."""
    cfg = copy.deepcopy(CONFIG.model)
    for head in (cfg.classification_head, cfg.reid_head):
        head.net.init_cfg = None
    cfg.classification_head.net.head.num_classes = CLASSES + 1
    cfg.classification_head.num_classes = CLASSES
    parts = {key: cfg[key] for key in ('refinement_head', 'classification_head', 'reid_head', 'frozen')}
    parts['frozen'] = (*parts['frozen'], 'propagation_head')
    return build_model(**(parts | keys))


def test_embeddings_are_those_of_the_net_on_each_crop():
    model = pipeline().eval()
    head = model.reid_head
    image, detections = torch.rand(1, 3, HEIGHT, WIDTH), make_detections(3)
    meta = dict(img_shape=(HEIGHT - 8, WIDTH - 16), ori_shape=(HEIGHT, WIDTH), scale_factor=(1.0, 1.0))
    found = head.encode(view_of(model, image, meta), detections).values
    shown = image[0, :, : HEIGHT - 8, : WIDTH - 16]
    windows = context_windows(detections.boxes, shown.shape[1:], 1.2)
    for own, window in zip(found, windows, strict=True):
        one = crop(shown, window[None], head.crop_size)
        assert torch.allclose(own, head.net(one, mode='tensor')[0], atol=1e-5)
    head.chunk = 2
    assert torch.allclose(head.encode(view_of(model, image, meta), detections).values, found, atol=1e-5)
    with pytest.raises(ConfigError, match='frozen'):
        head.loss(None)


def test_small_crops_of_the_letter_are_black():
    model = pipeline().eval()
    head = model.reid_head
    head.letter = True
    boxes = torch.tensor([[10.0, 10.0, 16.0, 40.0], [30.0, 10.0, 60.0, 40.0]])
    found = head.embed(torch.rand(3, HEIGHT, WIDTH), boxes)
    preprocessor = head.net.data_preprocessor
    black = (torch.zeros(1, 3, 64, 64) - preprocessor.mean) / preprocessor.std
    assert torch.allclose(found[0], head.net(black, mode='tensor')[0], atol=1e-4)
    assert not torch.allclose(found[1], found[0], atol=1e-3)


def test_classes_are_those_of_the_crops():
    model = pipeline().eval()
    head, view, detections = model.classification_head, view_of(model), make_detections(4)
    head.net.head.fc.weight.data.zero_()
    head.net.head.fc.bias.data = torch.tensor([2.0, -20.0, 1.0, 3.0])  # the last one: false detections
    p = torch.tensor([2.0, -20.0, 1.0, 3.0]).softmax(0).tolist()
    found = head.encode(view, detections).values
    for scores, score in zip(found, detections.scores.tolist(), strict=True):
        assert scores == pytest.approx({0: score * p[0], 2: score * p[2]}, rel=1e-4)
        assert list(scores)[0] == 0
    head.min_probability = 0.99
    assert [list(scores) for scores in head.encode(view, detections).values] == [[0]] * 4


@pytest.mark.parametrize('classify', [None, False])
def test_a_stream_takes_the_classes(classify):
    model = pipeline(linker=dict(type='BoxIoULinker'), merge_iou=None).eval()
    model.classification_head.net.head.fc.weight.data.zero_()
    model.classification_head.net.head.fc.bias.data = torch.tensor([0.0, 9.0, 0.0, 0.0])
    detections = make_detections(3)
    stream = model.start_video(classify=classify)
    frame = model.frame_encoder.from_detections(view_of(model), detections, needs=stream.needs)
    result = stream.push(frame)[0]
    own = detections.labels.tolist()
    assert result.labels == ([1, 1, 1] if classify is None else own) and own != [1, 1, 1]
    assert ('classification_head' in frame.codes) is (classify is None)


def test_wrong_numbers_of_classes_and_missing_heads_are_named():
    cfg = copy.deepcopy(CONFIG.model.classification_head)
    with pytest.raises(ConfigError, match='num_classes is 6, but the data set has 7'):
        MODELS.build({**cfg, 'num_classes': 7})
    with pytest.raises(ConfigError, match='iter_1000.pth: no such file'):
        MODELS.build({**cfg, 'num_classes': 5}).init_weights()
    with pytest.raises(ValueError, match='classify=True needs a classification_head'):
        build_model().start_video(classify=True)


def test_accuracy_of_crops():
    metric = CropAccuracy()
    logits = torch.eye(3)[[0, 0, 0, 1, 2]]
    samples = [
        dict(pred_feature=own, gt_label=dict(label=torch.tensor([label])))
        for own, label in zip(logits, [0, 0, 0, 0, 2], strict=True)
    ]
    metric.process({}, samples)
    assert metric.compute_metrics(metric.results) == pytest.approx(dict(accuracy=0.8, class_accuracy=0.875))
