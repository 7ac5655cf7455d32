"""STEm-Seg's reference numbers computed anew by this project's modules, from inputs and weights beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pycocotools.mask as mask_utils
import torch
from mmcv.image import rescale_size
from torch import Tensor, nn

from maskprop.conversion.golden_arrays import Compared, GoldenError
from maskprop.conversion.stem_seg_reference import convert_state_dict
from maskprop.methods.stem_seg.clip_decoder import (
    ClipClassDecoder,
    ClipDecoder,
    ClipEmbeddingDecoder,
    ClipSeedinessDecoder,
)
from maskprop.methods.stem_seg.clip_losses import (
    DIMS,
    PLACE_DIMS,
    class_losses,
    embedding_losses,
    lovasz_hinge,
    object_maps,
)
from maskprop.methods.stem_seg.clip_queue import Clip, ClipQueue, padded_in_front
from maskprop.methods.stem_seg.clip_stream import cluster_clip, enlarge
from maskprop.methods.stem_seg.clip_targets import STRIDE, ClipTargets, central_cells, reduce_targets
from maskprop.methods.stem_seg.clustering import SeedClustering
from maskprop.methods.stem_seg.label_instances import LabelInstances
from maskprop.methods.stem_seg.stem_seg import LOSS_WEIGHTS
from maskprop.methods.stem_seg.stitching import Stitcher

INPUTS = re.compile(
    r'(short_)?feat_\d+x|input_size|num_clips|num_frames|gt_masks_full|ignore_masks_full|category_ids|emptyobj_masks'
    r'|emptyobj_losses_reference|clu(near)?_(embeddings|bandwidths|seediness)|short_resize_scale'
    r'|(st|x4)_(fg_masks|embeddings|bandwidths|seediness|class_logits|image_size|min_max_dim|max_tracks)'
)
# absolute, in order; what fits none is equal
TOLERANCES = (
    (r'embedding_out|semseg_logits|prob_maps_.*|seediness_decoder_out|short_(?!bandwidths).*[a-z]', 2e-5),
    (r'short_bandwidths', 1e-3),
    (r'grad_semseg_logits', 1e-7),
    (r'grad[_/].*', 1e-5),
    (r'.*_stds|st_associations|(st|x4)_scores', 1e-6),
)
RELATIVE = (r'loss_.*|lovasz_each_.*|emptyobj_losses_.*', 1e-5)
OVERLAP = 4
GROUPS = (4, 32, 16, 8, 2, 1)  # of a GroupNorm; weights do not tell

Arrays = Mapping[str, Tensor]


def compare(case: Arrays, state: Mapping[str, Any]) -> dict[str, Compared]:
    """Every output array of a case, ours and the reference's.

    Args:
        case: inputs and outputs by name. state: a reference state dict of the three decoders.
    """
    weights = convert_state_dict(state, partial=True)
    groups = norm_groups(case, weights)
    found = {
        **recompute_training(case, weights, groups),
        **recompute_short_video(case, weights, groups),
        **recompute_clusters(case, 'clu'),
        **recompute_clusters(case, 'clunear'),
        **recompute_clips(case),
        **recompute_one_clip(case),
    }
    return {name: Compared(ours, case[name], *tolerance(name)) for name, ours in found.items()}


def tolerance(name: str) -> tuple[float, float]:
    """Absolute and relative tolerance of an array; 0, 0: equal."""
    if re.fullmatch(RELATIVE[0], name):
        return 0.0, RELATIVE[1]
    if re.fullmatch(r'short_(frame_list|subseq_frames)', name):
        return 0.0, 0.0
    return next((value for pattern, value in TOLERANCES if re.fullmatch(pattern, name)), 0.0), 0.0


def build_decoder(kind: type[ClipDecoder], weights: Arrays, head: str, length: int, groups: int) -> ClipDecoder:
    """A decoder of converted weights; widths are those of the weights."""
    own = {key.removeprefix(f'{head}.'): value for key, value in weights.items() if key.startswith(f'{head}.')}
    if not own:
        raise GoldenError(f'the weights have no {head}')
    first, *widths = (own[f'block_{stride}x.0.weight'] for stride in (32, 32, 16, 8, 4))
    keywords: dict[str, Any] = dict(num_classes=len(own['conv_out.weight']) - 2) if head == 'class_head' else {}
    decoder = kind(
        first.shape[1], channels=[len(w) for w in widths], clip_length=length, norm_groups=groups, **keywords
    )
    decoder.load_state_dict(own)
    return decoder


def norm_groups(case: Arrays, weights: Arrays) -> int:
    """How many groups the norms have, which the weights do not tell: those with which the first output fits."""
    levels, length = clip_levels(case), int(case['num_frames'])
    widths = [len(value) for key, value in weights.items() if re.fullmatch(r'.*block_\d+x\.1\.weight', key)]
    fitting = [groups for groups in GROUPS if all(width % groups == 0 for width in widths)]
    for groups in fitting:
        with torch.no_grad():
            found = build_decoder(ClipEmbeddingDecoder, weights, 'embedding_head', length, groups)(levels)
        if torch.allclose(found, case['embedding_out'], rtol=0, atol=1e-3):
            return groups
    return fitting[0]


def clip_levels(case: Arrays, prefix: str = 'feat') -> list[Tensor]:
    """Levels (B, C, T, H, W), finest first."""
    clips = int(case['num_clips'])
    maps = [case[f'{prefix}_{stride}x'] for stride in (4, 8, 16, 32)]
    return [level.unflatten(0, (clips, -1)).transpose(1, 2) for level in maps]


def recompute_training(case: Arrays, weights: Arrays, groups: int) -> dict[str, Tensor]:
    """Targets, outputs, losses and gradients."""
    length = int(case['num_frames'])
    heads = dict(
        embedding_head=build_decoder(ClipEmbeddingDecoder, weights, 'embedding_head', length, groups),
        class_head=build_decoder(ClipClassDecoder, weights, 'class_head', length, groups),
    )
    levels = clip_levels(case)
    output, logits = (head(levels) for head in heads.values())
    targets = [
        reduce_targets(masks.bool(), labels - 1, ignored.bool())
        for masks, labels, ignored in zip(
            case['gt_masks_full'], case['category_ids'], case['ignore_masks_full'], strict=True
        )
    ]
    losses = {**embedding_losses(output, targets), **class_losses(logits, targets)}
    losses = {name: LOSS_WEIGHTS[name] * loss for name, loss in losses.items()}
    names = [name for name in case if name.startswith('grad/')]
    parameters = [_parameter(heads, name) for name in names]
    gradients = torch.autograd.grad(sum(losses.values()), [output, logits, *parameters])
    output, logits = output.detach(), logits.detach()
    return dict(
        gt_masks=central_cells(case['gt_masks_full'].bool()),
        ignore_masks=torch.stack([target.ignored for target in targets]),
        semseg_target=torch.stack([target.classes for target in targets]),
        embedding_out=output,
        semseg_logits=logits.transpose(1, 2),
        **_losses(losses),
        grad_embedding_out=gradients[0],
        grad_semseg_logits=gradients[1].transpose(1, 2),
        **dict(zip(names, gradients[2:], strict=True)),
        **_first_clip(case, output[0], targets[0]),
        seediness_decoder_out=_seediness(levels, weights, length, groups),
    )


@torch.no_grad()
def _seediness(levels: list[Tensor], weights: Arrays, length: int, groups: int) -> Tensor:
    return build_decoder(ClipSeedinessDecoder, weights, 'seediness_head', length, groups)(levels)


def _parameter(heads: Mapping[str, nn.Module], name: str) -> Tensor:
    """The parameter that ``grad/NAME`` is of."""
    head, _, rest = name.removeprefix('grad/').replace('semseg_head', 'class_head').partition('.')
    return heads[head].get_parameter(rest)


def _losses(losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reference's losses: those of the embedding are summed up with their weights, and given without too."""
    parts = ('lovasz', 'smoothness', 'seediness')
    plain = {f'loss_{name}': losses[name] / LOSS_WEIGHTS[name] for name in parts}
    total = sum(losses[name] for name in parts)
    found = dict(plain, loss_embedding=total, loss_semseg=losses['semantic'], loss_foreground=losses['foreground'])
    return {name: loss.detach().view(1) for name, loss in found.items()}


def _first_clip(case: Arrays, output: Tensor, target: ClipTargets) -> dict[str, Tensor]:
    """Maps and Lovasz hinge of each object of clip 0, and its losses with an object that has no cell."""
    maps = object_maps(output[:DIMS], output[DIMS : DIMS + PLACE_DIMS], target.masks)
    masks = case['emptyobj_masks'].bool()
    present = target._replace(masks=masks[masks.flatten(1).any(1)])
    losses = embedding_losses(output[None], [present])
    total = sum(LOSS_WEIGHTS[name] * loss for name, loss in losses.items())
    return dict(
        prob_maps_clip0=maps,
        lovasz_each_clip0=lovasz_hinge(2 * maps.flatten(1) - 1, target.masks.flatten(1)),
        emptyobj_losses_dropped_first=torch.stack([total, *losses.values()]),
    )


class _Decoders(nn.Module):
    """The decoders alone, as the queue of clips asks for them."""

    def __init__(self, embedding_head: nn.Module, class_head: nn.Module) -> None:
        super().__init__()
        self.embedding_head, self.class_head = embedding_head, class_head
        self.clip_length = embedding_head.clip_length

    def decode(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        return self.embedding_head(levels), self.class_head(levels)


@torch.no_grad()
def recompute_short_video(case: Arrays, weights: Arrays, groups: int) -> dict[str, Tensor]:
    """A video that is shorter than a clip, through the queue of clips."""
    length = int(case['num_frames'])
    model = _Decoders(
        build_decoder(ClipEmbeddingDecoder, weights, 'embedding_head', length, groups),
        build_decoder(ClipClassDecoder, weights, 'class_head', length, groups),
    )
    queue = ClipQueue(model, OVERLAP)
    frames = zip(*(case[f'short_feat_{stride}x'] for stride in (4, 8, 16, 32)), strict=True)
    for feats in frames:
        queue.push(tuple(level[None] for level in feats))
    queue.finish()
    clip = queue.pop()
    assert clip is not None  # the queue is finished
    scale = int(case['short_resize_scale'])
    logits = torch.stack([enlarge(queue.logits(frame), scale) for frame in clip.frames])
    embeddings, widths, seediness = clip.maps.split((DIMS, PLACE_DIMS, 1))
    return dict(
        short_frame_list=torch.tensor(padded_in_front(clip.frames, length)),
        short_subseq_frames=torch.tensor(clip.frames),
        short_embeddings=embeddings,
        short_bandwidths=widths,
        short_seediness=seediness,
        short_fg_prob=logits[:, -1].sigmoid(),
        short_class_logits_2frames=logits[:2, :-1],
    )


def recompute_clusters(case: Arrays, prefix: str) -> dict[str, Tensor]:
    """Clustering alone: whole, without the left-over pixels, and with two clusters at most."""
    inputs = case[f'{prefix}_embeddings'], case[f'{prefix}_bandwidths'], case[f'{prefix}_seediness'][:, 0]
    found = {}
    for name, most in ((prefix, 20), (f'{prefix}_cap2', 2)):
        first = int(case[f'{name}_instance_labels'][0])
        clusters = SeedClustering(max_clusters=most)(*inputs, first)
        primary = SeedClustering(max_clusters=most, leftovers='none')(*inputs, first)
        found[f'{name}_labels'] = clusters.labels
        found[f'{name}_instance_labels'] = torch.tensor(clusters.ids)
        found[f'{name}_centers'] = clusters.centres
        found[f'{name}_stds'] = clusters.stds
        found[f'{name}_labels_primary_only'] = primary.labels
    return found


class _Nothing(nn.Module):
    """Decodes nothing: only which frames are a clip is asked for."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.clip_length = length

    def decode(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        maps = torch.zeros(1, DIMS + PLACE_DIMS + 1, self.clip_length, 1, 1)
        return maps, maps[:, :3]


def clip_frames(frames: int, length: int) -> list[list[int]]:
    """The frames of each clip of a video."""
    queue = ClipQueue(_Nothing(length), OVERLAP)
    clips = []
    for _ in range(frames):
        queue.push((torch.zeros(1, 1, 1, 1),))
    queue.finish()
    while (clip := queue.pop()) is not None:
        clips.append(clip.frames)
    return clips


def recompute_clips(case: Arrays) -> dict[str, Tensor]:
    """Clips clustered and stitched, and the tracks of the video."""
    foreground = case['st_fg_masks'].bool()
    maps = torch.cat([case[f'st_{name}'] for name in ('embeddings', 'bandwidths', 'seediness')], 1)
    clips = [Clip(*own) for own in zip(clip_frames(len(foreground), maps.shape[2]), maps, strict=True)]
    stitcher, clustering = Stitcher(), SeedClustering()
    labels: dict[int, Tensor] = {}
    before, associations = [], []
    for index, clip in enumerate(clips):
        own, _ = cluster_clip(clustering, clip, foreground[clip.frames], stitcher.next_label)
        fresh, pairs = stitcher.add(clip.frames, own)
        labels |= fresh
        before.append(own)
        associations += [[index, *pair] for pair in pairs]
    labels = torch.stack([labels[frame] for frame in range(len(foreground))])
    return dict(
        st_clip_frames=torch.tensor([clip.frames for clip in clips]),
        st_labels=labels,
        st_labels_before_stitching=torch.stack(before),
        st_associations=torch.tensor(sorted(associations)),
        **_points(labels),
        **_tracks(case, 'st', labels),
    )


def recompute_one_clip(case: Arrays) -> dict[str, Tensor]:
    """One clip whose embeddings are enlarged fourfold, and the tracks of the video."""
    foreground = case['x4_fg_masks'].bool()
    maps = torch.cat([case[f'x4_{name}'] for name in ('embeddings', 'bandwidths', 'seediness')])
    labels, _ = cluster_clip(SeedClustering(), Clip(list(range(len(foreground))), maps), foreground, 1)
    return dict(x4_labels=labels, **_tracks(case, 'x4', labels))


def _points(labels: Tensor) -> dict[str, Tensor]:
    """Pixels and lifetime of each label, outliers among them."""
    ids, counts = labels[labels != 0].unique(return_counts=True)
    present = [(labels == i).flatten(1).any(1).nonzero()[:, 0] for i in ids]
    lifetime = torch.stack([frames[-1] - frames[0] for frames in present])
    return dict(st_ids=ids, st_num_points=counts, st_lifetime=lifetime)


def _tracks(case: Arrays, prefix: str, labels: Tensor) -> dict[str, Tensor]:
    """The results of a video whose pixels are labelled."""
    size = tuple(case[f'{prefix}_image_size'].tolist())
    width, height = rescale_size(size[::-1], tuple(case[f'{prefix}_min_max_dim'].tolist()[::-1]))
    # of labels at stride 4, or at the size of the input
    stride = STRIDE if labels.shape[1] < height else 1
    instances = LabelInstances(int(case[f'{prefix}_max_tracks']))
    for own, logits in zip(labels, case[f'{prefix}_class_logits'], strict=True):
        instances.add_labels(own, logits[1:], (height, width), size, stride)
    results = instances.to_results(1, range(1, case[f'{prefix}_class_logits'].shape[1]))
    return {
        f'{prefix}_resized_size': torch.tensor([height, width]),
        f'{prefix}_kept_ids': torch.tensor([result['track_id'] for result in results]),
        f'{prefix}_scores': torch.tensor([result['score'] for result in results]),
        f'{prefix}_categories_1based': torch.tensor([result['category_id'] for result in results]),
        f'{prefix}_masks': torch.stack([_decode(result['segmentations'], size) for result in results]),
    }


def _decode(segmentations: Iterable[dict | None], size: tuple[int, int]) -> Tensor:
    """(T, H, W) uint8."""
    empty = torch.zeros(size, dtype=torch.uint8)
    return torch.stack(
        [empty if rle is None else torch.from_numpy(mask_utils.decode(rle)) for rle in segmentations]
    )
