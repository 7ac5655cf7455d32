"""What joining frames costs at test: MaskProp with 2 T + 1 = 13, its detector alone, mmdet's MaskTrack R-CNN.

    python tools/benchmarks/clip_inference.py
    python tools/benchmarks/clip_inference.py --config CONFIG --checkpoint WEIGHTS --video FRAMES

All three sides have the same Mask R-CNN ResNet-50-FPN with the same weights, and take the same 640x360 frames
(padded to 640x384) with 1, 8, 20 or 50 injected detections each, from the normalised image to RLEs: ``detector``
detects, pastes and encodes; ``maskprop`` is a video stream in its steady state, with full clips, that propagates
to 12 neighbours and links; ``mmdet`` is ``MaskTrackRCNN.predict`` with its tracker, and the encoding that its
metric does. Sides take turns frame by frame. Fails if boxes, labels or masks of any frame differ.

``--at-once`` lists numbers of frames that are computed together (``model.frames_at_once``): the time of the
detector and of ``maskprop`` for each, and the operators that they call for a frame, which on a GPU take the time
of starting a kernel each. The detections stay equal.

``--video`` runs a trained model on a folder of images or a video file, with the detections that it makes itself,
against the same model with a linker that needs no clips; reading and preparing images is within the time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import torch
from clip_profile import count_waits, operators_by_stage, profile_stages
from common import BenchmarkError, finish, in_turns, parser, ratios, spread, start, table
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.mask import encode_mask_results
from models import InjectedDetections, build, mask_track_cfg, maskprop_cfg, mmdet_mask_track_cfg, share_detector
from torch import Tensor, nn

from maskprop.models.frame_detector import TwoStageFrameDetector
from maskprop.ops.layout import image_layout
from maskprop.ops.masks import paste_binary_masks
from maskprop.structures import join_detections

SIDES = ('detector', 'maskprop', 'mmdet')


def frame_meta(size: tuple[int, int], padded: tuple[int, int], index: int) -> dict[str, Any]:
    """Meta of a frame that was padded and not resized."""
    sizes = dict(img_shape=size, ori_shape=size, pad_shape=padded, batch_input_shape=padded)
    return dict(**sizes, scale_factor=(1.0, 1.0), frame_id=index)


class Sides:
    """The three sides on one sequence of frames; each call of a side's method takes its next frame.

    Args:
        models: of :func:`make_models`.
        count: detections per frame.
        size: (height, width) of the video in pixels; the network's input is padded to multiples of 32.
        at_once: so many frames are taken by a call of ``detector`` and ``maskprop``.
    """

    def __init__(
        self,
        models: dict[str, nn.Module],
        count: int,
        size: tuple[int, int],
        device: str = 'cpu',
        at_once: int = 1,
    ) -> None:
        self.models, self.count, self.size, self.at_once = models, count, tuple(size), at_once
        self.padded = tuple(-(-side // 32) * 32 for side in size)
        self.injected = {name: inject(model, count, self.size) for name, model in models.items()}
        self.images = torch.randn(4, 1, 3, *self.padded, device=device)
        self.records: dict[str, list] = {name: [] for name in SIDES}
        self.stream = models['maskprop'].start_video(frames_at_once=at_once)
        self._kept: list[list[dict]] = []
        self._fill_clips()

    def _next(self, side: str) -> tuple[Tensor, list[dict]]:
        first, count = len(self.records[side]), 1 if side == 'mmdet' else self.at_once
        indices = range(first, first + count)
        images = [self.images[index % len(self.images)] for index in indices]
        metas = [frame_meta(self.size, self.padded, index) for index in indices]
        return images[0] if count == 1 else torch.cat(images), metas

    def _fill_clips(self) -> None:
        """Frames until all that the stream and its linker remember is there; detected once."""
        injected = self.injected['maskprop']
        frames = self._encode(*self._next('maskprop'))
        for _ in range(-(-(4 * self.stream.radius + 1) // self.at_once)):
            self._push(frames)
        injected.frame, injected.found = 0, []

    def _encode(self, images: Tensor, metas: list[dict]) -> Any:
        views = self.stream.features.step_chunk(images, metas)
        return self.stream.model.encode_batch(views, needs=self.stream.needs)

    def _push(self, frames: list) -> None:
        self._kept += [frame.rles for frame in frames]
        for result in self.stream._push(frames):
            if result.masks != list(self._kept.pop(0)):
                raise BenchmarkError(f'maskprop: frame {result.frame_index} came out with other masks than it had')

    def detector(self) -> None:
        """Detect, paste, encode."""
        images, metas = self._next('detector')
        detector = self.models['detector'].detector
        with torch.no_grad():
            feats = detector.extract_feat(image_layout(images))
            frames = TwoStageFrameDetector(detector).detect(feats, metas)
            found = join_detections(frames)
            rles = iter(paste_binary_masks(found.roi_masks, found.boxes, *self.size))
        for frame in frames:
            own = list(islice(rles, len(frame.boxes)))
            self.records['detector'].append((frame.boxes, frame.labels, own))

    def maskprop(self) -> None:
        """A step of the stream: detection of frame t, and the clip of frame t - T; or of several frames."""
        frames = self._encode(*self._next('maskprop'))
        self._push(frames)
        # the masks are waited for, so that their time is in that of this step
        self.records['maskprop'] += [(frame.boxes, frame.labels, list(frame.rles)) for frame in frames]

    def mmdet(self) -> None:
        """A frame of mmdet's MaskTrack R-CNN, encoded as its metric does."""
        image, (meta,) = self._next('mmdet')
        sample = TrackDataSample(video_data_samples=[DetDataSample(metainfo=meta)])
        with torch.no_grad():
            tracked = self.models['mmdet'].predict(image[None], [sample])[0][0].pred_track_instances
        rles = encode_mask_results(tracked.masks.cpu().numpy())
        rles = [dict(size=list(rle['size']), counts=rle['counts'].decode()) for rle in rles]
        self.records['mmdet'].append((tracked.bboxes, tracked.labels, rles))

    @property
    def forms(self) -> dict[str, Callable[[], None]]:
        """The three sides."""
        return {name: getattr(self, name) for name in SIDES}

    def check(self, sides: Sequence[str] = SIDES) -> None:
        """Raise BenchmarkError unless these sides gave the same boxes, labels and masks for each frame."""
        for name in sides:
            if len(self.records[name]) != len(self.records['detector']):
                raise BenchmarkError(f'{name} took {len(self.records[name])} frames')
            if set(self.injected[name].found) != {self.count}:
                raise BenchmarkError(f'{name}: {set(self.injected[name].found)} detections injected')
            for index, (found, expected) in enumerate(
                zip(self.records[name], self.records['detector'], strict=True)
            ):
                check_frame(f'{name}, frame {index}', found, expected, self.count)


def check_frame(where: str, found: tuple, expected: tuple, count: int) -> None:
    """Raise BenchmarkError unless boxes, labels and RLEs are equal, and as many as expected."""
    for name, rows in zip(('boxes', 'labels', 'masks'), found, strict=True):
        if len(rows) != count:
            raise BenchmarkError(f'{where}: {len(rows)} {name}, expected {count}')
    same_boxes = torch.allclose(torch.as_tensor(found[0]).cpu(), torch.as_tensor(expected[0]).cpu(), atol=1e-3)
    same_labels = torch.as_tensor(found[1]).tolist() == torch.as_tensor(expected[1]).tolist()
    same_masks = found[2] == expected[2]
    if not (same_boxes and same_labels and same_masks):
        raise BenchmarkError(
            f'{where}: boxes {same_boxes}, labels {same_labels}, masks {same_masks}: not all the same'
        )


def inject(model: nn.Module, count: int, size: tuple[int, int]) -> InjectedDetections:
    """Inject this number of detections from now on; a model is wrapped once."""
    if not hasattr(model, 'injected'):
        model.injected = InjectedDetections(model.detector, count, size)
    model.injected.count, model.injected.size = count, size
    model.injected.frame, model.injected.found = 0, []
    return model.injected


def make_models(device: str) -> dict[str, nn.Module]:
    """The three sides' models, with the same detector weights."""
    models = dict(
        detector=build(mask_track_cfg(), device),
        maskprop=build(maskprop_cfg(), device),
        mmdet=build(mmdet_mask_track_cfg(), device),
    )
    return prepare(models)


def prepare(models: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Share the detector's weights; give random heads outputs that mean something."""
    for name in ('maskprop', 'mmdet'):
        share_detector(models['detector'], models[name])
    for conv in models['maskprop'].propagation_head.offset_convs:  # zero at first: offsets of some cells instead
        nn.init.normal_(conv.weight, std=0.02)
    # random embeddings would give two detections one object, and mmdet drops one of them: boxes and labels decide
    last = models['mmdet'].track_head.embed_head.fcs[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return models


def time_injected(args: argparse.Namespace) -> list[dict]:
    """Rows for each number of detections."""
    rows, models = [], make_models(args.device)
    for count in args.instances:
        sides = Sides(models, count, args.size, args.device)
        seconds = in_turns(sides.forms, args.runs, args.device)
        row = dict(instances=count, seconds=seconds)
        if count == args.profile_at:
            row['waits'] = {name: count_waits(form) for name, form in sides.forms.items()}
            row['profile_ms'] = profile_stages(sides.maskprop, 3)
            for name in ('detector', 'mmdet'):
                for _ in range(3):
                    sides.forms[name]()
        sides.check()
        rows.append(row)
        print(f'{count} instances: {relative(seconds)}', flush=True)
    return rows


def time_at_once(args: argparse.Namespace) -> list[dict]:
    """Rows for each number of frames at once: seconds, operators and waits of a frame, detector and maskprop."""
    rows, models = [], make_models(args.device)
    for count in args.at_once:
        sides = Sides(models, args.profile_at, args.size, args.device, count)
        forms = {name: sides.forms[name] for name in SIDES[:2]}
        operators = {name: operators_by_stage(form) for name, form in forms.items()}  # and warms up
        waits = {name: count_waits(form) for name, form in forms.items()}
        times = in_turns(forms, args.runs, args.device, warm_up=False)
        seconds = {name: [s / count for s in found] for name, found in times.items()}
        sides.check(SIDES[:2])
        rows.append(dict(at_once=count, seconds=seconds, operators=operators, waits=waits))
        print(f'{count} frames at once: {operators["maskprop"]["all"] / count:.0f} operators', flush=True)
    return rows


def at_once_lines(rows: list[dict], instances: int) -> list[str]:
    """Tables of :func:`time_at_once`."""
    if not rows:
        return []
    first = rows[0]['seconds']['maskprop']
    body = [
        [
            row['at_once'],
            *(spread([1e3 * s for s in row['seconds'][name]]) for name in SIDES[:2]),
            f'{spread(ratios(row["seconds"]["maskprop"], row["seconds"]["detector"]))}x',
            f'{spread(ratios(first, row["seconds"]["maskprop"]))}x',
            *(f'{sum(row["waits"][name].values())} ({named(row["waits"][name])})' for name in SIDES[:2]),
        ]
        for row in rows
    ]
    head = (
        'frames at once', 'detector, ms per frame', 'maskprop, ms per frame', 'maskprop / detector, time',
        f'maskprop, frames per second against {rows[0]["at_once"]}', 'waits of the detector',
        'waits of maskprop',
    )  # fmt: skip
    lines = ['', f'Frames at once (`model.frames_at_once`), {instances} detections:', '', *table(head, body)]
    lines += ['', 'Operators called per frame, by frames at once (views are not counted):', '']
    stages = [name for name in rows[0]['operators']['maskprop'] if name != 'all']
    body = [
        [f'maskprop, {stage}', *(f'{row["operators"]["maskprop"][stage] / row["at_once"]:.3g}' for row in rows)]
        for stage in stages
    ]
    for name in SIDES[:2]:
        body.append([f'{name}, all', *(f'{row["operators"][name]["all"] / row["at_once"]:.4g}' for row in rows)])
    return lines + table(('part', *(str(row['at_once']) for row in rows)), body)


def named(counts: dict[str, int]) -> str:
    """Counts with their names."""
    return ', '.join(f'{count} {name}' for name, count in counts.items())


def relative(seconds: dict[str, list[float]]) -> str:
    """Both ratios of one row, in words."""
    alone = spread(ratios(seconds['maskprop'], seconds['detector']))
    return f"{alone}x the detector's time, {spread(ratios(seconds['mmdet'], seconds['maskprop']))}x mmdet's rate"


def injected_lines(rows: list[dict], size: tuple[int, int]) -> list[str]:
    """Tables of times, of the profile and of waits."""
    head = (
        'detections',
        *(f'{name}, ms' for name in SIDES),
        'maskprop / detector, time',
        'maskprop / mmdet, frames per second',
    )
    body = []
    for row in rows:
        seconds = row['seconds']
        cells = [spread([1e3 * value for value in seconds[name]]) for name in SIDES]
        alone, peer = (
            ratios(seconds['maskprop'], seconds['detector']),
            ratios(seconds['mmdet'], seconds['maskprop']),
        )
        body.append([row['instances'], *cells, f'{spread(alone)}x', f'{spread(peer)}x'])
    lines = [f'Milliseconds per {size[1]}x{size[0]} frame, in the steady state:', '', *table(head, body)]
    for row in rows:
        if 'profile_ms' not in row:
            continue
        whole = row['profile_ms']['all']
        body = [
            [name, f'{value:.1f}', f'{100 * value / whole:.1f} %'] for name, value in row['profile_ms'].items()
        ]
        lines += ['', f'Where the time goes (maskprop, {row["instances"]} detections, cProfile):', '']
        lines += table(('stage', 'ms', 'share'), body)
        lines += ['', 'Calls per frame for which a CPU would wait for a GPU:', '']
        lines += table(('side', 'in all', 'of which'), [
            [name, sum(waits.values()), named(waits)]
            for name, waits in row['waits'].items()
        ])  # fmt: skip
    return lines


def main(argv: list[str] | None = None) -> None:
    """Run it."""
    result = parser(__doc__, runs=10)
    result.add_argument('--instances', type=int, nargs='+', default=(1, 8, 20, 50), help='detections per frame')
    result.add_argument('--size', type=int, nargs=2, default=(360, 640), metavar=('H', 'W'), help='of the video')
    result.add_argument('--profile-at', type=int, default=8, metavar='N', help='detections; default: %(default)s')
    result.add_argument(
        '--at-once', type=int, nargs='*', default=(1, 8), metavar='N', help='frames at once; default: 1 8'
    )
    result.add_argument('--config', help='of a trained model')
    result.add_argument('--checkpoint', help='of a trained model')
    result.add_argument('--video', help='images in a folder, or a video file, for the trained model')
    args = result.parse_args(argv)
    given = [bool(value) for value in (args.config, args.checkpoint, args.video)]
    if any(given) != all(given):
        result.error('--config, --checkpoint and --video belong together')
    start(args)
    rows = dict(injected=time_injected(args), at_once=time_at_once(args))
    lines = injected_lines(rows['injected'], args.size)
    lines += at_once_lines(rows['at_once'], args.profile_at)
    if args.video:
        from clip_trained import time_trained, trained_lines

        rows['trained'] = time_trained(args)
        lines += ['', *trained_lines(rows['trained'], args)]
    finish(args, rows, lines)


if __name__ == '__main__':
    main()
