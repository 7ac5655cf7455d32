"""The propagation branch of one frame against one frame of its detector; run by propagation.py."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from common import BenchmarkError, full_precision, in_turns, ratios, spread, synchronize, table
from models import InjectedDetections, build, mask_track_cfg, maskprop_cfg, share_detector
from torch import Tensor, nn

from maskprop.methods.maskprop.mask_propagation_head import FrameCode, MaskPropagationHead
from maskprop.methods.maskprop.propagation import propagate_values
from maskprop.models.frame_detector import TwoStageFrameDetector
from maskprop.ops.layout import image_layout
from maskprop.ops.masks import paste_binary_masks
from maskprop.structures import Frame

INSTANCES, NEIGHBOURS = 8, 12
PROPOSALS = 1000  # the paper's; MaskTrack R-CNN has 200
DETECTORS = {'detector': 'the detector', 'detector, 1000 proposals': "that with the paper's 1000 proposals"}
TOLERANCE = 1e-5
TF32_TOLERANCE = 5e-3  # of convolutions that add in another order
PARTS = ('encoding', 'offsets', 'lookups', 'softmax')


def frame_meta(height: int, width: int) -> dict:
    """Meta of a frame that was neither resized nor padded."""
    return dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0))


@torch.no_grad()
def detect_and_encode(detector: nn.Module, image: Tensor) -> list[dict]:
    """One frame of Mask R-CNN, from the image to RLEs."""
    height, width = image.shape[-2:]
    feats = detector.extract_feat(image_layout(image))
    found = TwoStageFrameDetector(detector).detect(feats, [frame_meta(height, width)])[0]
    return paste_binary_masks(found.roi_masks, found.boxes, height, width)


class Branch:
    """The branch on made-up features of a frame and of its neighbours, in the steady state of a stream.

    Attributes:
        forms: what is timed, by name: the branch and its parts.
    """

    def __init__(self, model: nn.Module, image: Tensor, neighbours: int = NEIGHBOURS) -> None:
        self.head: MaskPropagationHead = model.propagation_head
        self.feats = model.detector.extract_feat(image_layout(image))
        moved = ([f + 0.1 * torch.randn_like(f) for f in self.feats] for _ in range(neighbours))
        self.masks = torch.rand(INSTANCES, *self.feats[self.head.feat_level].shape[-2:], device=image.device)
        frames = [self._frame(feats) for feats in moved]
        self.earlier, self.later = frames[: neighbours // 2], frames[neighbours // 2 :]
        first = self._frame(self.feats)
        for frame in self.earlier:  # what their own clips left behind
            self.head.propagate(frame, [frame, first])
        self.left_behind = dict(first.memo)
        self.head.propagate(first, [*self.earlier, first])
        self.forms = dict(branch=self.run, **self._parts())

    def run(self) -> Tensor:
        """(S, N, H, W) soft masks in the clip: all that a frame adds to its detection."""
        source = self._frame(self.feats)
        return self.head.propagate(source, self._clip(source))

    def _clip(self, source: Frame) -> list[Frame]:
        for frame in (source, *self.later):
            frame.memo.clear()
        source.memo.update(self.left_behind)
        return [*self.earlier, source, *self.later]

    def _frame(self, feats: Sequence[Tensor]) -> Frame:
        blank = dict(boxes=None, class_scores=[{0: 1.0}] * len(self.masks), rles=[], size=(0, 0), map_size=(0, 0))
        return Frame(codes=dict(propagation_head=self.head.encode_features(feats)), masks=self.masks, **blank)

    def _parts(self) -> dict[str, Callable]:
        head, source = self.head, self._frame(self.feats)
        targets = FrameCode.as_targets([frame.codes['propagation_head'] for frame in self._clip(source)])
        code = source.codes['propagation_head']
        offsets = head.predict_offsets(code, targets)
        found = self.look_ups(code, offsets)

        def segment() -> Tensor:
            return head._normalize(head._segment(found, targets)) * targets.attention

        return {
            'encoding': lambda: head.encode_features(self.feats),
            'offsets': lambda: head.stream_offsets([(source, self._clip(source))])[0],
            'lookups': lambda: self.look_ups(code, offsets),
            'softmax': segment,
        }

    def look_ups(self, code: FrameCode, offsets: Tensor) -> Tensor:
        """(S, N, R, H, W)."""
        return propagate_values(code.values[0], self.masks, offsets, self.head.dilations, self.head.kernel_size)

    def difference(self) -> float:
        """Largest difference of the soft masks from those of the paper's deformable convolution, at two ends."""
        code = self.head.encode_features(self.feats, keep_features=True)
        found = self.run()
        errors = [
            self.head(code, frame.codes['propagation_head'], self.masks, literal=True)[0] - found[index]
            for index, frame in ((0, self.earlier[0]), (-1, self.later[-1]))
        ]
        return float(torch.stack(errors).abs().max())

    def compiled(self) -> tuple[dict[str, Callable], dict[str, float]]:
        """The parts that may gain, compiled, and the seconds that this took; empty if it is not possible here."""
        head, code = self.head, self.head.encode_features(self.feats)
        targets = FrameCode.as_targets([frame.codes['propagation_head'] for frame in (*self.earlier, *self.later)])
        offsets = head.predict_offsets(code, targets)
        eager = {
            'offsets': offsets,
            'lookups': propagate_values(code.values[0], self.masks, offsets, head.dilations, head.kernel_size),
        }
        predict, look_ups = torch.compile(head.predict_offsets), torch.compile(propagate_values)
        forms = {
            'offsets, compiled': lambda: predict(code, targets),
            'lookups, compiled': lambda: look_ups(
                code.values[0], self.masks, offsets, head.dilations, head.kernel_size
            ),
        }
        seconds = {}
        for name, form in forms.items():
            begin = time.perf_counter()
            try:
                found = form()
            except Exception as error:  # no C++ compiler, or no back end for this machine
                print(f'torch.compile does not work here: {type(error).__name__}: {str(error).splitlines()[0]}')
                return {}, {}
            synchronize(self.masks.device.type)
            seconds[name] = time.perf_counter() - begin
            expected = eager[name.partition(',')[0]]
            tolerance = TF32_TOLERANCE if found.is_cuda else TOLERANCE
            check(float((found - expected).abs().max() / expected.abs().max()), name, tolerance)
        return forms, seconds


def check(difference: float, what: str, tolerance: float = TOLERANCE) -> None:
    """Raise BenchmarkError if a form is not the same function."""
    if not difference <= tolerance:
        raise BenchmarkError(f'{what}: differs by {difference:.1e}, more than {tolerance}')


@torch.no_grad()
def time_branch(args: argparse.Namespace) -> dict:
    """Seconds of the detectors' frames, of the branch and of its parts, in turns."""
    model = build(maskprop_cfg(), args.device)
    for conv in model.propagation_head.offset_convs:  # zero at first: offsets of some cells instead
        nn.init.normal_(conv.weight, std=0.02)
    many = with_proposals(model, PROPOSALS, args.device)
    injected, _ = (InjectedDetections(m.detector, INSTANCES, tuple(args.image)) for m in (model, many))
    image = torch.randn(1, 3, *args.image, device=args.device)
    with full_precision():
        branch = Branch(model, image)
        rows = dict(difference=branch.difference())
    check(rows['difference'], 'the branch')
    if len(detect_and_encode(model.detector, image)) != INSTANCES or set(injected.found) != {INSTANCES}:
        raise BenchmarkError(f'{injected.found} detections, expected {INSTANCES}')
    compiled, rows['compile_s'] = branch.compiled() if args.compile else ({}, {})
    detectors = zip(DETECTORS, (model.detector, many.detector), strict=True)
    forms = {name: lambda d=detector: detect_and_encode(d, image) for name, detector in detectors}
    forms |= branch.forms | compiled
    forms = {name: no_grad(form) for name, form in forms.items()}
    rows['seconds'] = in_turns(forms, max(args.runs, 5), args.device)
    return rows


def with_proposals(model: nn.Module, count: int, device: str) -> nn.Module:
    """A model whose detector has the same weights and this many proposals."""
    cfg = mask_track_cfg()
    cfg.detector.test_cfg.rpn.update(nms_pre=count, max_per_img=count)
    other = build(cfg, device)
    share_detector(model, other)
    return other


def no_grad(form: Callable) -> Callable:
    """The form without gradients."""
    return torch.no_grad()(form)


def branch_lines(rows: dict, args: argparse.Namespace) -> list[str]:
    """The table."""
    seconds = rows['seconds']
    body = []
    for name, values in seconds.items():
        shares = [[100 * ratio for ratio in ratios(values, seconds[detector])] for detector in DETECTORS]
        body.append([name, spread([1e3 * value for value in values]), *(f'{spread(s)} %' for s in shares)])
    height, width = args.image
    title = f'The branch of one frame, {width}x{height}, {NEIGHBOURS} neighbours, {INSTANCES} instances:'
    lines = [title, '', *table(('part', 'ms', *(f'share of {text}' for text in DETECTORS.values())), body)]
    if rows['compile_s']:
        lines += [
            '',
            'Seconds to compile: ' + ', '.join(f'{k} {v:.0f}' for k, v in rows['compile_s'].items()) + '.',
        ]
    return lines
