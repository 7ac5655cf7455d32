"""FEELVOS's reference numbers computed anew by this project's modules, from the inputs and weights beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from maskprop.conversion.feelvos_reference import convert_state_dict
from maskprop.conversion.golden_arrays import Arrays, Compared
from maskprop.methods.feelvos.feelvos_head import FEELVOSHead
from maskprop.methods.feelvos.hard_pixels import hard_share, hardest_pixel_loss
from maskprop.methods.feelvos.matching import (
    global_distances,
    local_distances,
    make_reference,
    normalise,
    subsample_labels,
)
from maskprop.methods.feelvos.network import resize
from maskprop.methods.feelvos.object_tracker import FEELVOSTracker, FrameFeatures

TOLERANCE = 1e-4  # absolute and relative
MARGIN = 2e-5  # of the two highest logits: below, either label is right
INPUTS = re.compile(
    r'backbone|lowlevel|label0|object_labels|vanish_label0|gone_label1_s4|min_label_margin|train_(frames|target|loss_steps)'
    r'|config'
)
SHARE, SHARE_STEPS = 0.15, 100_000


def build_head(state: Mapping[str, Any], config: Tensor) -> FEELVOSHead:
    """The head of a reference state dict, in evaluation mode; sizes are those of the weights.

    Args:
        config: H, W, h, w, embedding size, head width, radius, three dilations.
    """
    weights = convert_state_dict(state)
    shapes = {key: value.shape for key, value in weights.items()}
    head = FEELVOSHead(
        backbone=None,
        in_channels=shapes['aspp.conv.conv.weight'][1],
        low_channels=shapes['decoder.low_conv.conv.weight'][1],
        channels=shapes['aspp.conv.conv.weight'][0],
        low_width=shapes['decoder.low_conv.conv.weight'][0],
        dilations=config[7:10].tolist(),
        embed_channels=shapes['embedding.pointwise_conv.conv.weight'][0],
        head_channels=shapes['object_head.logit.weight'][1],
        num_convs=len([k for k in shapes if re.fullmatch(r'object_head\.convs\.\d+\.pointwise_conv.*weight', k)]),
        radius=int(config[6]),
        max_reference_cells=None,
        min_reference_cells=1,
        last_share=SHARE,
        share_steps=SHARE_STEPS,
    )
    head.load_state_dict({'steps': head.steps, **_with_counts(weights, head)})
    return head.eval()


def _with_counts(weights: dict[str, Tensor], head: FEELVOSHead) -> dict[str, Tensor]:
    counts = {key: value for key, value in head.state_dict().items() if key.endswith('num_batches_tracked')}
    return {**counts, **weights}


@torch.no_grad()
def compare(case: Arrays, state: Mapping[str, Any]) -> dict[str, Compared]:
    """Every output array of a case, ours and the reference's.

    Args:
        case: inputs and outputs by name. state: a reference state dict without the backbone.
    """
    head = build_head(state, case['config'])
    codes, aspp = _codes(head, case)
    found = dict(embed=torch.stack([code.embedding for code in codes]), aspp_1=aspp, decoder_1=codes[1].features)
    found |= _propagate(head, codes, case)
    found |= _distances(head, codes, case)
    found |= _training(head, codes, case)
    compared = {}
    for name, ours in found.items():
        reference = case[name]
        if ours.ndim > 1 and ours.shape != reference.shape:
            ours = ours.movedim(-3, -1)  # channels or objects are last there
        exact = not reference.is_floating_point()
        compared[name] = Compared(ours, reference, 0.0 if exact else TOLERANCE, 0.0 if exact else TOLERANCE)
    compared['label'] = compared['label']._replace(undecided=found_undecided(found['logits'], case))
    return compared


def found_undecided(logits: Tensor, case: Arrays) -> Tensor:
    """(T, H, W) bool: pixels whose two highest logits are too near to decide."""
    two = resize(logits, case['label'].shape[-2:]).topk(2, dim=1).values
    return two[:, 0] - two[:, 1] <= MARGIN


def _codes(head: FEELVOSHead, case: Arrays) -> tuple[list[FrameFeatures], Tensor]:
    """The codes of all frames, and the ASPP's output of frame 1."""
    low, high = (case[name].permute(0, 3, 1, 2) for name in ('lowlevel', 'backbone'))
    features, embeddings = head.encode_features(low, high)
    size = tuple(case['label0'].shape)
    codes = [FrameFeatures(f, e, size) for f, e in zip(features, embeddings, strict=True)]
    return codes, head.aspp(high[1:2])[0]


def _propagate(head: FEELVOSHead, codes: list[FrameFeatures], case: Arrays) -> dict[str, Tensor]:
    """The given labels carried through the frames, by the tracker."""
    seen: dict[str, list[Tensor]] = dict(inputs=[], features=[], logits=[])
    head.object_head.register_forward_pre_hook(lambda _, args: seen['inputs'].append(args[0]))
    head.object_head.convs.register_forward_hook(lambda _, args, out: seen['features'].append(out))
    head.object_head.register_forward_hook(lambda _, args, out: seen['logits'].append(out))
    tracker = FEELVOSTracker(head)
    ids = [i for i in case['label0'].unique().tolist() if i]
    tracker.begin(codes[0], torch.stack([case['label0'] == i for i in ids]), ids)
    carried, labels = [], []
    for code in codes[1:]:
        carried.append(tracker.step(code))
        labels.append(tracker.labels)
    soft = torch.stack([c.soft for c in carried])
    for module in (head.object_head, head.object_head.convs):
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return dict(
        head_input_1=seen['inputs'][0],
        head_features_1=seen['features'][0],
        logits=torch.stack(seen['logits']),
        softmax=torch.cat([1 - soft.sum(1, keepdim=True), soft], 1),
        label=torch.stack(labels),
    )


def _distances(head: FEELVOSHead, codes: list[FrameFeatures], case: Arrays) -> dict[str, Tensor]:
    """Labels at the stride, global and local distances."""
    cells = codes[0].embedding.shape[-2:]
    labels0, labels1, vanished = (
        subsample_labels(labels, cells) for labels in (case['label0'], case['label'][0], case['vanish_label0'])
    )
    found: dict[str, Tensor] = dict(label0_s4=labels0, label1_s4=labels1, vanish_label0_s4=vanished)
    query = codes[1].embedding
    for labels, names in ((labels0, ('global_ids_1', 'global_1')), (vanished, ('vanish_ids', 'vanish_global_1'))):
        objects = labels.unique()
        reference = make_reference(codes[0].embedding, labels, objects.tolist())
        raw = global_distances(query, [reference], objects.tolist())
        found |= dict(zip(names, (objects, normalise(raw)), strict=True))
        found.setdefault('global_raw_1', raw)
    objects = labels0.unique().tolist()
    for name, labels, radius in (
        ('local_r1_2', labels1, 1),
        ('local_r4_2', labels1, 4),
        ('local_r15_2', labels1, 15),
        ('gone_local_2', case['gone_label1_s4'], head.radius),
    ):
        squared = local_distances(codes[2].embedding, codes[1].embedding, labels, objects, radius)
        found[name] = normalise(squared)
    return found


def _training(head: FEELVOSHead, codes: list[FrameFeatures], case: Arrays) -> dict[str, Tensor]:
    """Logits and losses of the training form, on true labels of reference and previous frame."""
    frames = case['train_frames'].tolist()
    labels = [case['object_labels'][frame].long() for frame in frames]
    embeddings = [codes[frame].embedding for frame in frames]
    logits, objects = head.train_logits(codes[frames[2]].features, embeddings, *labels[:2])
    target = case['train_target'].long()
    full = resize(logits[None], target.shape)[0]
    steps = case['train_loss_steps'].tolist()
    losses = [hardest_pixel_loss(full, target, hard_share(step, SHARE, SHARE_STEPS)) for step in steps]
    return dict(train_logits=logits, train_loss=torch.stack(losses))
