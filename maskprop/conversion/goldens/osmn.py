"""OSMN's reference numbers computed anew by this project's modules, from the inputs and weights beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from maskprop.conversion.golden_arrays import Arrays, Compared
from maskprop.conversion.osmn_reference import convert_state_dict
from maskprop.methods.osmn.guides import Blob, crop_guide, fit_blob, mask_box, perturb_blob, spatial_guide
from maskprop.methods.osmn.losses import balanced_loss
from maskprop.methods.osmn.object_tracker import OSMNTracker, exclusive
from maskprop.methods.osmn.osmn_head import OSMNHead

TOLERANCE = 1e-4  # absolute and relative
LEVEL = 1  # of 255: of resized pictures
PIXEL_MEAN = (123, 117, 104)  # RGB; the released code's is the same for BGR
INPUTS = re.compile(
    r'frames|mask0|object_masks|guide2_(frame|mask)|gb_draw_(centre|std)|merge_scores|signed_params|min_abs_logit'
)


def build_head(state: Mapping[str, Any], guide_size: int) -> OSMNHead:
    """The head of a reference state dict, in evaluation mode; sizes are those of the weights."""
    weights = convert_state_dict(state)
    head = OSMNHead(
        widths=[len(weights[f'visual.stages.{stage}.0.bias']) for stage in range(5)],
        fc_width=len(weights['visual.fcs.0.bias']),
        guide_size=guide_size,
        pixel_mean=PIXEL_MEAN,
        pixel_std=(1, 1, 1),
    )
    counts = {key: value for key, value in head.state_dict().items() if key.endswith('num_batches_tracked')}
    head.load_state_dict({**counts, **weights})
    return head.eval()


@torch.no_grad()
def compare(case: Arrays, state: Mapping[str, Any]) -> dict[str, Compared]:
    """Every output array of a case, ours and the reference's.

    Args:
        case: inputs and outputs by name. state: a reference state dict.
    """
    head = build_head(state, len(case['guide_rgb']))
    found = _guides(head, case) | _visual(head, case) | _propagate(head, case) | _first_frame(head, case)
    found |= _losses(case)
    compared = {}
    for name, ours in found.items():
        reference = case[name]
        tolerance = TOLERANCE if reference.is_floating_point() else 0.0
        atol = LEVEL if name in ('guide_rgb', 'guide2_rgb') else tolerance
        compared[name] = Compared(ours, reference, atol, tolerance)
    return compared


def _image(case: Arrays, frame: int) -> Tensor:
    return case['frames'][frame].permute(2, 0, 1)


def _last(maps: Tensor) -> Tensor:
    """(C, H, W) with the channels last."""
    return maps.permute(1, 2, 0)


def _fitted(mask: Tensor) -> Blob:
    blob = fit_blob(mask)
    assert blob is not None, 'the golden masks are not empty'
    return blob


def _guides(head: OSMNHead, case: Arrays) -> dict[str, Tensor]:
    """Boxes, visual guides, and a perturbed Gaussian."""
    found: dict[str, Tensor] = {}
    for name, image, mask in (
        ('guide', _image(case, 0), case['mask0']),
        ('guide2', case['guide2_frame'].permute(2, 0, 1), case['guide2_mask']),
    ):
        picture, label = crop_guide(image, mask > 0, head.guide_size)
        found |= {
            f'{name}_box': torch.tensor(mask_box(mask)),
            f'{name}_rgb': _last(picture),
            f'{name}_label': label,
        }
    # of the reference's own picture: a level of rounding is more than the tolerance
    given = head.guide_input(case['guide_rgb'].permute(2, 0, 1), case['guide_label'] > 0)
    found['guide_input'] = _last(given).flip(-1)
    blob = perturb_blob(_fitted(case['mask0']), case['gb_draw_centre'], case['gb_draw_std'])
    found['gb_perturbed'] = spatial_guide(blob, case['mask0'].shape)
    return found


def _visual(head: OSMNHead, case: Arrays) -> dict[str, Tensor]:
    """The visual modulator, layer by layer, on the reference's guide."""
    seen: list[Tensor] = []
    net = head.visual
    layers = [net.stages[-1][-1], *net.fcs[:2]]
    hooks = [layer.register_forward_hook(lambda _, args, out: seen.append(out.relu())) for layer in layers]
    hooks.append(net.fcs[0].register_forward_pre_hook(lambda _, args: seen.append(args[0])))
    params = net(case['guide_input'].flip(-1).permute(2, 0, 1)[None])[0]
    for hook in hooks:
        hook.remove()
    names = ('vm_conv5_3', 'vm_pool5', 'vm_fc6', 'vm_fc7')
    return dict(vis_params=params, **{name: _last(out[0]) for name, out in zip(names, seen, strict=True)})


def _propagate(head: OSMNHead, case: Arrays) -> dict[str, Tensor]:
    """The given mask carried through the frames, by the tracker, with the factors of the reference's guide."""
    seen: dict[str, list[Tensor]] = dict(gb=[], logits=[])
    hooks = [
        head.spatial.register_forward_pre_hook(lambda _, args: seen['gb'].append(args[0][0, 0])),
        head.segmentation.register_forward_hook(lambda _, args, out: seen['logits'].append(out[0])),
    ]
    tracker = OSMNTracker(head)
    codes = [head.encode_images(_image(case, frame)[None]) for frame in range(len(case['frames']))]
    tracker.begin(codes[0], case['mask0'][None] > 0, [1])
    tracker._factors = case['vis_params'][None]
    blobs: list[Blob] = []
    carried = []
    for code in codes[1:]:
        blobs.append(_fitted(tracker.masks[0]))
        carried.append(tracker.step(code))
    for hook in hooks:
        hook.remove()
    return dict(
        gb=torch.stack(seen['gb']),
        logits=torch.stack(seen['logits']),
        prob=torch.cat([c.soft for c in carried]),
        mask=torch.cat([c.final for c in carried]),
        centre_std=torch.stack([torch.cat([blob.centre, blob.std]) for blob in blobs]),
    )


def _first_frame(head: OSMNHead, case: Arrays) -> dict[str, Tensor]:
    """Frame 1, layer by layer, and with other factors and guides."""
    net, image = head.segmentation, _image(case, 1)[None]
    seen: dict[str, Tensor] = {}
    hooks = []
    for index, conv in enumerate(net.side_convs, 2):

        def keep(_: Any, args: Any, out: Any, index: int = index) -> None:
            seen[f'block_conv{index}'], seen[f'side_conv{index}'] = args[0][0], out[0]

        hooks.append(conv.register_forward_hook(keep))
    hooks.append(net.fuse.register_forward_pre_hook(lambda _, args: seen.update(fuse_input=args[0][0])))
    code = head.encode_images(image)
    factors, guides = case['vis_params'][None], case['gb'][:1].float()
    head.segment(code, factors, guides)
    for hook in hooks:
        hook.remove()
    seen |= {f'sp_conv{i}': maps[0] for i, maps in enumerate(head.spatial(guides[:, None]), 3)}
    seen['net_input_1'] = head._normalised(image)[0].flip(0)
    found = {name: _last(value) for name, value in seen.items()}
    found['logits_unmodulated'] = head.segment(code, torch.ones_like(factors), guides)[0]
    found['logits_blank_guide'] = head.segment(code, factors, torch.zeros_like(guides))[0]
    found['logits_signed_params'] = head.segment(code, case['signed_params'][None], guides)[0]
    return found


def _losses(case: Arrays) -> dict[str, Tensor]:
    """Losses of the reference's logits, and masks made exclusive."""
    logits, targets = case['logits'], case['object_masks'][1:].float()
    merged = exclusive(case['merge_scores'])
    return dict(
        loss_one=balanced_loss(logits[:1], targets[:1])[None],
        loss_two=balanced_loss(logits[:2], targets[:2])[None],
        loss_no_object=balanced_loss(logits[:1], torch.zeros_like(targets[:1]))[None],
        merge_label=(merged * torch.arange(1, len(merged) + 1).view(-1, 1, 1)).sum(0),
    )
