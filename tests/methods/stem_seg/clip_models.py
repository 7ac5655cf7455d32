"""A model without weights whose clips have clusters, and the whole-video form of what the stream does."""

from __future__ import annotations

import numpy as np
import pycocotools.mask as mask_utils
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from maskprop.methods.stem_seg.clip_stream import ClipStream, ClipStreamOptions
from maskprop.methods.stem_seg.clustering import SeedClustering

CLASSES = 3
INPUT, SHAPE, SIZE = (32, 64), (28, 60), (21, 45)  # of the padded input, of the image in it, of the video
LENGTH, OVERLAP = 4, 2


class FakeClipModel(nn.Module):
    """Embeddings are two squares that move with the video; logits depend on the clip, so that averages matter."""

    clip_length = LENGTH

    def extract_feat(self, images: Tensor) -> tuple[Tensor, ...]:
        return (F.avg_pool2d(images, 4),)

    def decode(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        place, noise, time = levels[0][0].unbind(0)  # [T, h, w] each
        left = place < 0
        embeddings = torch.stack([torch.where(left, -0.5, 0.5) + 0.02 * noise, 0.02 * noise.flip(-1), 0 * noise])
        embeddings = torch.cat([embeddings, 0.1 * noise[None]])
        widths = (10 + 5 * noise.abs()).div(10).log()
        seeds = (0.9 - 0.08 * noise.abs())[None]
        output = torch.cat([embeddings, widths[None], widths[None], seeds])
        # each clip says something else of a frame: its own times are in it
        clip = (7 * time.mean()).sin()
        foreground = place.abs() - 0.5 + 0.6 * clip * noise
        classes = torch.stack([noise * (k + 1) * torch.where(left, 1.0, -1.0) + clip * k for k in range(CLASSES)])
        logits = torch.cat([0 * noise[None], classes, foreground[None]])
        return output[None], logits[None]


def make_video(frames: int, seed: int = 0) -> list[Tensor]:
    """Images (1, 3, 32, 64): place (negative on the left), noise, time."""
    generator = torch.Generator().manual_seed(seed)
    images = []
    for t in range(frames):
        place = torch.zeros(INPUT)
        shift = min(t, 10)
        place[4:20, 4 + shift : 20 + shift] = -1.0
        place[8:28, 36 : 52 + (t % 3)] = 1.0 if t % 11 else 0.0
        noise = F.interpolate(torch.randn(1, 1, 8, 16, generator=generator), INPUT, mode='nearest')[0, 0]
        images.append(torch.stack([place, noise, torch.full(INPUT, float(t))])[None])
    return images


def run_stream(images: list[Tensor], **options) -> tuple[list[dict], list, ClipStream]:
    """Results of the stream, the frames' results in the order in which they came, and the stream."""
    stream = ClipStream(FakeClipModel().eval(), ClipStreamOptions(clip_overlap=OVERLAP, **options))
    meta = dict(img_shape=SHAPE, ori_shape=SIZE)
    frames = [result for image in images for result in stream.step(image, meta)] + stream.finish()
    return stream.video_instances().to_results(1, [1, 2, 3]), frames, stream


def whole_video(images: list[Tensor], scale: int = 4, max_tracks: int = 10) -> list[dict]:
    """The published order of things: every clip is decoded and averaged at full size, before any is clustered."""
    model, total = FakeClipModel(), len(images)
    if total < LENGTH:
        clips = [[0] * (LENGTH - total) + list(range(total))]
    else:
        clips = [list(range(s, s + LENGTH)) for s in range(0, total - LENGTH + 1, LENGTH - OVERLAP)]
        if clips[-1][-1] != total - 1:
            clips.append(list(range(total - LENGTH, total)))
    outputs, sums, counts = [], [0.0] * total, [0] * total
    for clip in clips:
        level = torch.stack([model.extract_feat(images[t])[0] for t in clip], 2)
        output, logits = model.decode([level])
        output[:, 4:6] = 10 * output[:, 4:6].exp()
        frames = {t: row for row, t in enumerate(clip)}  # the last copy counts
        outputs.append({t: _up(output[0, :, row], scale) for t, row in frames.items()})
        for row, t in enumerate(clip):
            sums[t], counts[t] = sums[t] + _up(logits[0, :, row], scale), counts[t] + 1
    logits = [s / n for s, n in zip(sums, counts, strict=True)]
    labels: dict[int, Tensor] = {}
    for output in outputs:
        _label(output, logits, labels)
    return _tracks([labels[t] for t in range(total)], logits, scale, max_tracks)


def _up(maps: Tensor, scale: int) -> Tensor:
    return F.interpolate(maps[None], scale_factor=scale, mode='bilinear', align_corners=False)[0]


def _label(output: dict[int, Tensor], logits: list[Tensor], labels: dict[int, Tensor]) -> None:
    """Cluster a clip and stitch it to the labels so far, which it adds to."""
    foreground = {t: logits[t][-1].sigmoid() > 0.5 for t in output}
    pixels = torch.cat([output[t][:, foreground[t]] for t in output], 1)
    first = 1 + max((int(x.max()) for x in labels.values()), default=0)
    found = SeedClustering()(pixels[:4].T, pixels[4:6].T, pixels[6], first).labels
    own, start = {}, 0
    for t, mask in foreground.items():
        own[t] = torch.zeros(mask.shape, dtype=torch.long)
        own[t][mask] = found[start : start + int(mask.sum())]
        start += int(mask.sum())
    common = [t for t in own if t in labels]
    if common:
        old, new = torch.stack([labels[t] for t in common]), torch.stack([own[t] for t in common])
        a, b = ([i for i in x.unique().tolist() if i > 0] for x in (old, new))
        cost = [
            [1 - float(((old == i) & (new == j)).sum() / ((old == i) | (new == j)).sum()) for j in b] for i in a
        ]
        pairs = zip(*linear_sum_assignment(np.array(cost).reshape(len(a), len(b))), strict=True)
        names = {b[column]: a[row] for row, column in pairs}
        own = {t: x.clone().apply_(lambda i: names.get(i, i)) for t, x in own.items()}
    labels.update({t: x for t, x in own.items() if t not in labels})


def _tracks(labels: list[Tensor], logits: list[Tensor], scale: int, max_tracks: int) -> list[dict]:
    ids = sorted({i for x in labels for i in x.unique().tolist() if i > 0})
    frames = {i: [t for t, x in enumerate(labels) if (x == i).any()] for i in ids}
    kept = sorted(ids, key=lambda i: (frames[i][0] - frames[i][-1], frames[i][0], i))[:max_tracks]
    points = {i: sum(int((x == i).sum()) for x in labels) for i in kept}
    results = []
    for i in kept:
        sums = sum((logits[t][1:-1, x == i]).double().sum(1) for t, x in enumerate(labels))
        masks = []
        for t, x in enumerate(labels):
            mask = (x == i)[None].float()
            mask = (_up(mask, 4) if scale == 1 else mask)[:, : SHAPE[0], : SHAPE[1]]
            mask = F.interpolate(mask[None], SIZE, mode='bilinear', align_corners=False)[0, 0] > 0.5
            masks.append(mask.numpy() if t in frames[i] else None)
        results.append(
            dict(
                track_id=i, score=points[i] / max(points.values()), category_id=1 + int(sums.argmax()), masks=masks
            )
        )
    return results


def decoded(results: list[dict]) -> list[dict]:
    """Results of the stream with masks in place of RLEs."""
    return [
        dict(
            track_id=result['track_id'],
            score=result['score'],
            category_id=result['category_id'],
            masks=[rle and mask_utils.decode(rle).astype(bool) for rle in result['segmentations']],
        )
        for result in results
    ]
