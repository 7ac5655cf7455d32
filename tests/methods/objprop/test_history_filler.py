"""Online filling: what is filled, with which mask, box, score and label, and what is kept."""

from __future__ import annotations

import pycocotools.mask as mask_utils
import pytest
import torch
from torch import nn

from maskprop.methods.objprop import InterFrameAttentionHead
from maskprop.methods.objprop.history_filler import HistoryFiller
from maskprop.structures import Frame, FrameResult
from tests.models.builders import ATTENTION, CLASSES, HEIGHT, WIDTH, build_model
from tests.tracking.test_video_stream import frames_of, run

STRIDE, CELLS = 4, (8, 12)  # network input: 32 x 48


class CopyHead(nn.Module):
    """Stands in for the attention head: a mask is its box where the current code is positive. Counts its calls."""

    stride = STRIDE

    def __init__(self):
        super().__init__()
        self.calls = []

    def propagate_objects(self, current, references, boxes, labels):
        assert len(references) == len(boxes) == len(labels)
        self.calls.append([len(b) for b in boxes])
        rows, columns = (torch.arange(2 * n) * STRIDE / 2 + STRIDE / 4 for n in CELLS)
        masks = []
        for x1, y1, x2, y2 in torch.cat(list(boxes)).tolist():
            inside = ((rows >= y1) & (rows < y2))[:, None] & ((columns >= x1) & (columns < x2))
            masks.append(torch.where(inside & (current.mean() > 0), 20.0, -20.0))
        return torch.stack(masks)

    def probabilities(self, logits):
        return logits.repeat_interleave(STRIDE // 2, 1).repeat_interleave(STRIDE // 2, 2).sigmoid()


def encode_box(box, size):
    x1, y1, x2, y2 = box
    return mask_utils.frPyObjects([[x1, y1, x2, y1, x2, y2, x1, y2]], *size)[0]


def make_frame(boxes=(), code=1.0, size=(32, 48), map_size=(32, 48), dtype=torch.float32):
    """A frame with boxes in pixels of the video; their scores and labels come with the result."""
    return Frame(
        masks=torch.zeros(len(boxes), *CELLS),
        boxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        class_scores=[{0: 0.5}] * len(boxes),
        rles=[encode_box(box, size) for box in boxes],
        size=size,
        map_size=map_size,
        codes=dict(attention_head=torch.full((3, *CELLS), code, dtype=dtype)),
    )


def step(filler, index, found=(), **kwargs):
    """One frame; ``found`` are tuples of id, label, score and box in pixels of the video."""
    frame, result = make_frame([f[3] for f in found], **kwargs), FrameResult(index)
    for (track_id, label, score, _), rle in zip(found, frame.rles, strict=True):
        result.add(track_id, label, score, rle)
    filler.step(frame, result)
    return result


def decode(rle):
    return torch.from_numpy(mask_utils.decode(rle)).bool()


BOX, OTHER = (8, 4, 20, 16), (24, 8, 40, 28)


def test_what_is_filled():
    """Mean score, latest label, the mean of the masks cut at the threshold, its box."""
    filler = HistoryFiller(CopyHead(), threshold=0.5)
    step(filler, 0, [(7, 2, 0.9, BOX)])
    step(filler, 1, [(7, 1, 0.5, (12, 4, 24, 16))])
    step(filler, 2, [(7, 1, 0.4, (12, 8, 24, 16))])
    result = step(filler, 3)
    assert (result.ids, result.labels, result.filled) == ([7], [1], [True])
    assert result.scores == pytest.approx([0.6])
    expected = torch.zeros(32, 48, dtype=torch.bool)
    expected[4:16, 12:20] = True  # in two boxes of three at least
    expected[8:16, 12:24] = True
    assert torch.equal(decode(result.masks[0]), expected)
    assert filler.history[-1].boxes.tolist() == [[12, 4, 23, 15]]


def test_threshold_is_on_the_mean_over_the_history():
    results = []
    for threshold in (0.3, 0.5):
        filler = HistoryFiller(CopyHead(), threshold=threshold)
        for index, box in enumerate((BOX, OTHER, (0, 24, 4, 32))):
            step(filler, index, [(1, 0, 0.5, box)])
        results.append(step(filler, 3).ids)
    assert results == [[1], []], 'each box is a third of the mean; nothing reaches .5, and nothing is filled'


def test_detections_are_never_changed_and_cost_nothing():
    filler = HistoryFiller(CopyHead())
    found = [(1, 0, 0.5, BOX), (2, 1, 0.7, OTHER)]
    for index in range(3):
        result = step(filler, index, found)
        assert result.filled == [False, False]
        assert result.scores == [0.5, 0.7]
    assert filler.head.calls == []


def test_only_missed_objects_are_propagated_in_one_call():
    filler = HistoryFiller(CopyHead())
    step(filler, 0, [(1, 0, 0.5, BOX)])
    step(filler, 1, [(1, 0, 0.5, BOX), (2, 1, 0.7, OTHER)])
    step(filler, 2, [(2, 1, 0.7, OTHER), (3, 1, 0.7, OTHER)])
    assert filler.head.calls == [[1, 1]]  # object 1 of frames 0 and 1
    result = step(filler, 3, [(1, 0, 0.5, BOX)])
    assert filler.head.calls[1:] == [[1, 2]]  # 2 of frame 1, 2 and 3 of frame 2: frame 0 holds neither
    assert result.ids == [1, 2, 3]
    assert result.filled == [False, True, True]


def test_empty_masks_are_not_filled_and_not_remembered():
    filler = HistoryFiller(CopyHead())
    step(filler, 0, [(1, 0, 0.5, BOX)])
    assert step(filler, 1, code=-1.0).ids == []
    assert filler.history[-1].ids == []
    assert filler.history[-1].code is None, 'a frame without objects needs none'


def test_masks_and_boxes_are_in_pixels_of_the_video():
    """A video of 60 x 90 pixels enters the network at half its size, 30 x 45 padded to 32 x 48."""
    filler = HistoryFiller(CopyHead())
    kwargs = dict(size=(60, 90), map_size=(64, 96))
    step(filler, 0, [(1, 0, 0.5, (16, 8, 40, 32))], **kwargs)
    assert filler.history[-1].boxes.tolist() == [[8, 4, 20, 16]]
    result = step(filler, 1, **kwargs)
    assert result.masks[0]['size'] == [60, 90]
    ys, xs = decode(result.masks[0]).nonzero().T
    assert [int(v) for v in (xs.min(), ys.min(), xs.max(), ys.max())] == pytest.approx([16, 8, 39, 31], abs=1)
    torch.testing.assert_close(filler.history[-1].boxes, torch.tensor([[8, 4, 19.5, 15.5]]), atol=0.5, rtol=0)


def test_fills_are_remembered_until_max_age():
    for max_age, expected in ((None, [1] * 8), (3, [1, 1, 1] + [0] * 5)):
        filler = HistoryFiller(CopyHead(), history_length=2, max_age=max_age)
        step(filler, 0, [(1, 0, 0.5, BOX)])
        step(filler, 1, [(1, 0, 0.5, BOX)])
        assert [len(step(filler, t).ids) for t in range(2, 10)] == expected


def test_no_fill_over_a_detection_with_another_id():
    for max_overlap, expected in ((None, [2, 1]), (0.5, [2])):
        filler = HistoryFiller(CopyHead(), max_overlap=max_overlap)
        step(filler, 0, [(1, 0, 0.5, BOX)])
        assert step(filler, 1, [(2, 0, 0.5, BOX)]).ids == expected
    far = (0, 0, 4, 4)
    filler = HistoryFiller(CopyHead(), max_overlap=0.5)
    step(filler, 0, [(1, 0, 0.5, BOX)])
    assert step(filler, 1, [(2, 0, 0.5, far)]).ids == [2, 1]


def test_age_counts_from_the_last_detection():
    filler = HistoryFiller(CopyHead(), max_age=2)
    step(filler, 0, [(1, 0, 0.5, BOX)])
    assert len(step(filler, 1).ids) == len(step(filler, 2).ids) == 1
    assert step(filler, 3).ids == []
    step(filler, 4, [(1, 0, 0.5, BOX)])
    assert step(filler, 5).ids == [1]


def test_memory_is_bounded_and_keeps_the_dtype():
    filler = HistoryFiller(CopyHead(), history_length=3, max_age=1)
    for index in range(20):
        step(filler, index, [(index, 0, 0.5, BOX)], dtype=torch.bfloat16)
    assert len(filler.history) == 3
    assert all(past.code.dtype == torch.bfloat16 for past in filler.history)
    assert set(filler._last_found) == {i for past in filler.history for i in past.ids}
    filler = HistoryFiller(CopyHead())
    for index in range(40):
        step(filler, index, [(1, 0, 0.5, BOX)])
    assert len(filler.history) == 24


def test_frames_leave_the_history():
    filler = HistoryFiller(CopyHead(), history_length=2)
    step(filler, 0, [(1, 0, 0.5, BOX)])
    step(filler, 1, code=-1.0)
    step(filler, 2, code=-1.0)
    assert step(filler, 3).ids == []


def test_means_of_a_real_head():
    """Each past frame by itself, with the label stored there."""
    torch.manual_seed(0)
    head = InterFrameAttentionHead(
        num_classes=3, in_channels=2, channels=4, stride=STRIDE, num_mask_convs=1
    ).eval()
    filler = HistoryFiller(head, threshold=0.0)
    frames = [make_frame([BOX], code=c) for c in (0.3, -0.2, 0.9)]
    for frame in frames:
        frame.codes['attention_head'] = torch.randn(4, *CELLS)
    for index, (frame, label) in enumerate(zip(frames, (2, 0, 1), strict=True)):
        result = FrameResult(index)
        result.add(5, label, 0.5, frame.rles[0])
        filler.step(frame, result)
    current = make_frame()
    current.codes['attention_head'] = torch.randn(4, *CELLS)
    with torch.no_grad():
        each = [
            head.propagate_objects(
                current.codes['attention_head'],
                f.codes['attention_head'][None],
                [f.boxes],
                [torch.tensor([label])],
            )
            for f, label in zip(frames, (2, 0, 1), strict=True)
        ]
        expected = torch.stack([head.probabilities(logits)[0] for logits in each]).mean(0)
        (found,) = filler.mean_masks(current, [5])
    torch.testing.assert_close(found, expected)


def test_masks_in_pixels_exist_one_at_a_time(monkeypatch):
    """A history of many ids holds thousands of objects, and a mask in pixels is a megabyte."""
    steps, filler = [], HistoryFiller(CopyHead())
    probabilities, paste = filler.head.probabilities, Frame.paste
    monkeypatch.setattr(filler.head, 'probabilities', lambda x: steps.append('mask') or probabilities(x))
    monkeypatch.setattr(Frame, 'paste', lambda *args: steps.append(f'paste {len(args[1])}') or paste(*args))
    step(filler, 0, [(i, 0, 0.5, BOX) for i in range(3)])
    assert step(filler, 1).ids == [0, 1, 2]
    assert steps == ['mask', 'paste 1'] * 3


def build_stream_model(**kwargs):
    attention = {**ATTENTION, 'num_classes': CLASSES}
    linker = dict(type='BoxIoULinker', max_age=20)
    return build_model(attention_head=attention, linker=linker, merge_iou=None, fill=False, **kwargs).eval()


def test_filling_in_a_stream_only_adds():
    model = build_stream_model()
    frames = frames_of(model, [3, 2, 0, 3, 1, 3])
    without = run(model, frames, history_fill=None)[0]
    with_fills = run(model, frames, history_fill=dict(threshold=0.0))[0]
    assert sum(sum(result.filled) for result in with_fills) > 3
    assert not any(any(result.filled) for result in without)
    for plain, result in zip(without, with_fills, strict=True):
        count = len(plain.ids)
        assert result.ids[:count] == plain.ids
        assert result.masks[:count] == plain.masks
        assert result.scores[:count] == plain.scores
        assert result.filled == [False] * count + [True] * (len(result.ids) - count)
        assert len(set(result.ids)) == len(result.ids)
        assert all(mask['size'] == [HEIGHT, WIDTH] for mask in result.masks)


def test_off_is_the_model_without_the_head():
    model = build_stream_model()
    frames = frames_of(model, [3, 2, 0, 3])
    bare = build_model(linker=dict(type='BoxIoULinker', max_age=20), merge_iou=None).eval()
    bare.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith('attention_head.')})
    assert run(model, frames)[1] == run(bare, frames_of(bare, [3, 2, 0, 3]))[1]


def test_bad_keys_say_what_to_do():
    with pytest.raises(ValueError, match='past frame'):
        HistoryFiller(CopyHead(), history_length=0)
    with pytest.raises(ValueError, match='None for no limit'):
        HistoryFiller(CopyHead(), max_age=0)
    frame = make_frame([BOX])
    frame.codes.clear()
    with pytest.raises(ValueError, match='attention_head'):
        HistoryFiller(CopyHead()).step(frame, FrameResult(0))
