"""The mask propagation branch (MaskProp, Section 4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from maskprop.methods.maskprop.dilated_convs import dilated_convs
from maskprop.methods.maskprop.frame_code import KEY, FrameCode
from maskprop.methods.maskprop.pair_blocks import Clip, PairBlocks
from maskprop.methods.maskprop.propagation import (
    fold_kernels,
    propagate_features,
    propagate_pairs,
    propagate_values,
)
from maskprop.ops.layout import convolution_layout
from maskprop.ops.uploads import numbers_on
from maskprop.structures import Detections, Frame, FramePairs, View

NORMALIZERS = ('instances', 'instances+background', 'sigmoid')
MASK_SOURCES = ('predicted', 'ground_truth')
# cells convolved at once; on a CPU fewer leave its cores waiting for the next call, more no longer fit its cache
CELLS_AT_ONCE = 2**14
GPU_CELLS_AT_ONCE = 2**19  # .25 GiB a map of 128 channels


@MODELS.register_module()
class MaskPropagationHead(BaseModule):
    """Propagates instance masks of frame t to other frames and segments them there.

    The paper's steps, with the paper's numbers as defaults: offsets from the difference of two frames' features
    (:meth:`predict_offsets`), deformable convolution of the masked features, addition of the target frame's
    features, a 1x1 convolution, softmax over the instances, attention (:meth:`forward`). The deformable
    convolution over every instance is evaluated by its exact fast form (``docs/methods/maskprop.md``);
    :meth:`forward` takes ``literal=True`` for the other.

    Args:
        in_channels: C, channels of the FPN.
        channels: outputs of each deformable kernel.
        offset_channels: channels of the residual block that predicts the offsets.
        kernel_size: k of the deformable kernels.
        dilations: one deformable kernel each, results summed.
        feat_level: index of the FPN level used; 1 is the paper's second largest resolution.
        stride: stride of that level in pixels.
        normalizer: ``'instances'`` (the paper): softmax over the instances. ``'instances+background'``: one more
            logit fixed at 0, so that a single instance is segmented too. ``'sigmoid'``: each instance alone.
        match_channels: ``None`` (the paper) adds the target frame's features to the propagated ones before the
            1x1 convolution. r: both are first projected to r channels, added and rectified, so that they match.
        mask_channel: also propagate the mask itself, as one more feature that is 1 everywhere. Not in the paper:
            without it a propagated mask is only as even as the features are.
        copy_gain: with ``mask_channel``, initialise the head to copy the masks, at logits of plus and minus half
            this value; 0 leaves the random initialisation.
        loss: config of the loss between propagated masks and targets.
        absent_weight: weight of a penalty on the mean probability where an instance is absent from the other
            frame; the paper's constant 1 has no gradient.
        mask_source: which instance masks training propagates: ``'predicted'`` by the mask head at the
            ground-truth boxes, as imperfect as at test, or ``'ground_truth'``.
        detach_masks: no gradient from the branch into the mask head.

    Raises:
        ValueError: ``normalizer`` or ``mask_source`` is unknown, ``kernel_size`` is even, ``copy_gain`` is set
            without ``mask_channel``, or ``channels`` and ``in_channels`` differ without ``match_channels``.
    """

    needs = (KEY,)

    def __init__(
        self,
        *,
        in_channels: int = 256,
        channels: int = 256,
        offset_channels: int = 128,
        kernel_size: int = 3,
        dilations: Sequence[int] = (3, 6, 12),
        feat_level: int = 1,
        stride: int = 8,
        normalizer: str = 'instances',
        match_channels: int | None = None,
        mask_channel: bool = False,
        copy_gain: float = 0.0,
        loss: dict | None = None,
        absent_weight: float = 0.0,
        mask_source: str = 'predicted',
        detach_masks: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if normalizer not in NORMALIZERS:
            raise ValueError(f'normalizer={normalizer!r} is unknown; choose one of {NORMALIZERS}')
        if mask_source not in MASK_SOURCES:
            raise ValueError(f'mask_source={mask_source!r} is unknown; choose one of {MASK_SOURCES}')
        if kernel_size % 2 == 0:
            raise ValueError(f'kernel_size={kernel_size} must be odd')
        if copy_gain and not mask_channel:
            raise ValueError('copy_gain needs mask_channel=True: only then can the head copy a mask')
        self.kernel_size = kernel_size
        self.dilations = tuple(dilations)
        self.feat_level = feat_level
        self.stride = stride
        self.normalizer = normalizer
        self.mask_channel = mask_channel
        self.copy_gain = copy_gain
        self.absent_weight = absent_weight
        self.mask_source = mask_source
        self.detach_masks = detach_masks
        self.loss_mask = MODELS.build(loss or dict(type='SoftIoULoss'))

        # offsets: a residual block on the difference of two frames, then one predictor per dilation
        # no bias: what is rectified then changes only its sign with the order of the frames (stream_offsets)
        self.motion_conv = nn.Conv2d(in_channels, offset_channels, 3, padding=1, bias=False)
        self.motion_shortcut = nn.Conv2d(in_channels, offset_channels, 1)
        self.block_conv = nn.Conv2d(offset_channels, offset_channels, 3, padding=1)
        self.offset_convs = nn.ModuleList(
            nn.Conv2d(offset_channels, 2 * kernel_size**2, 3, padding=d, dilation=d) for d in self.dilations
        )

        # propagation: one deformable kernel per dilation
        depth = in_channels + int(mask_channel)
        self.deform_weights = nn.Parameter(
            torch.empty(len(self.dilations), channels, depth, kernel_size, kernel_size)
        )
        self._reset_deform_weights()
        self._build_segmentation(in_channels, channels, match_channels)

    def _build_segmentation(self, in_channels: int, channels: int, match_channels: int | None) -> None:
        """The layers between the propagated features and the masks."""
        if match_channels is None:
            if channels != in_channels:
                raise ValueError(
                    f'channels={channels} and in_channels={in_channels} must be equal to be added; '
                    'set match_channels to project both'
                )
            self.project = self.match = None
        else:
            self.project = nn.Conv2d(channels, match_channels, 1, bias=False)
            self.match = nn.Conv2d(in_channels, match_channels, 1)
        self.mask_conv = nn.Conv2d(match_channels or channels, 1, 1)
        self.attention_conv = nn.Conv2d(in_channels, 1, 3, padding=1)

    def init_weights(self) -> None:
        """Zero offsets, kaiming kernels, and the copying head if asked for."""
        super().init_weights()
        for conv in self.offset_convs:
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)
        self._reset_deform_weights()
        if self.copy_gain:
            self._init_copy()

    def _reset_deform_weights(self) -> None:
        nn.init.kaiming_uniform_(self.deform_weights.flatten(0, 1), a=5**0.5)

    @torch.no_grad()
    def _init_copy(self) -> None:
        """Solve for central taps of the mask channel that make the logits copy_gain * (mask - 1/2)."""
        if self.project is None or self.match is None:
            projection = self.mask_conv.weight[:, :, 0, 0]  # [1, C_out]
            response = projection.new_tensor([self.copy_gain])
        else:
            projection = self.project.weight[:, :, 0, 0]  # [r, C_out]
            response = projection.new_ones(len(projection))
            self.mask_conv.weight.fill_(self.copy_gain / len(projection))
            self.match.weight.mul_(0.1)
            self.match.bias.zero_()
        centre = self.kernel_size // 2
        taps = torch.linalg.pinv(projection) @ response / len(self.dilations)
        self.deform_weights[:, :, :-1].mul_(0.1)
        self.deform_weights[:, :, -1] = 0
        self.deform_weights[:, :, -1, centre, centre] = taps
        self.mask_conv.bias.fill_(-self.copy_gain / 2)
        self.attention_conv.bias.fill_(3.0)

    @property
    def works_untrained(self) -> bool:
        """Whether it propagates masks before any training: as a copy."""
        return bool(self.copy_gain)

    def encode(self, view: View, instances: Detections) -> FrameCode:
        """The code of a frame; it does not depend on its instances."""
        return self.encode_features(view.feats)

    def encode_batch(
        self, feats: Sequence[Tensor], views: Sequence[View], instances: Sequence[Detections]
    ) -> list[FrameCode]:
        """:meth:`encode` of several frames."""
        return self.encode_features(feats).split()

    def encode_features(self, feats: Sequence[Tensor], keep_features: bool = False) -> FrameCode:
        """Code B frames; everything here is computed once per frame, whatever the number of neighbours.

        Args:
            feats: levels of the FPN, each (B, C, H_l, W_l).
            keep_features: keep the features in the code, for the literal form.
        """
        features = convolution_layout(feats[self.feat_level])
        projection = (self.mask_conv if self.project is None else self.project).weight[:, :, 0, 0]
        values = F.conv2d(self._with_mask_channel(features), fold_kernels(self.deform_weights, projection))
        # linear: the 1x1 convolution of g + f is the sum of those of g and f
        match = F.conv2d(features, self.mask_conv.weight) if self.match is None else self.match(features)
        return FrameCode(
            # the first layer is linear in f_t - f_s: applied to each frame once, then subtracted
            motion=F.conv2d(features, self.motion_conv.weight, padding=1),
            shortcut=F.conv2d(features, self.motion_shortcut.weight),
            values=values.unflatten(1, (len(projection), -1)),
            match=match,
            attention=self.attention_conv(features).float().sigmoid(),
            features=features if keep_features else None,
        )

    def predict_offsets(self, source: FrameCode, targets: FrameCode) -> Tensor:
        """Sampling offsets o_{t,t+d} from the difference of the frames' features.

        Args:
            source: code of 1 frame, or of S: one for each target.
            targets: code of S frames.

        Returns:
            (S, K, 2, H, W) float32, cells.
        """
        bias = self._offset_bias()
        block = self._linear_block(F.relu(source.motion - targets.motion))
        return self._read_offsets([block + (source.shortcut + bias - targets.shortcut)], len(block))

    def _linear_block(self, motion: Tensor) -> Tensor:
        """The offset block's second convolution without its bias: (S, offset_channels, H, W) to the same."""
        return F.conv2d(motion, self.block_conv.weight, padding=1)

    def _offset_bias(self) -> Tensor:
        """(offset_channels, 1, 1), the residual block's biases in all."""
        return (self.block_conv.bias + self.motion_shortcut.bias)[:, None, None]

    def _read_offsets(self, blocks: Iterable[Tensor], count: int) -> Tensor:
        """Offsets (S, K, 2, H, W) float32, cells, from the residual block's sums of S = count frames, used up."""
        rectified = (F.relu(block, inplace=True) for block in blocks)
        return dilated_convs(rectified, self.offset_convs, count).float().unflatten(1, (-1, 2))

    def forward(self, source: FrameCode, targets: FrameCode, masks: Tensor, literal: bool = False) -> Tensor:
        """Propagate the instances of one frame to S frames.

        Args:
            source: code of frame t (1 frame).
            targets: code of S frames; t itself may be among them.
            masks: (N, H, W) float in [0, 1], the instances of frame t.
            literal: evaluate the deformable convolutions as written in the paper.

        Returns:
            (S, N, H, W) float32 in [0, 1]: the instances' soft masks in the targets.
        """
        if len(masks) == 0:
            return masks.new_zeros((len(targets.match), *masks.shape), dtype=torch.float32)
        return self._propagate(source, targets, masks, self.predict_offsets(source, targets), literal)

    def propagate(self, source: Frame, targets: Sequence[Frame]) -> Tensor:
        """The stream's form of :meth:`forward`: (S, N, H, W) soft masks of the source frame's instances."""
        return self.propagate_many([(source, targets)])[0]

    def propagate_many(self, clips: Sequence[Clip]) -> list[Tensor]:
        """:meth:`propagate` of several clips in fewer calls, which a GPU waits for; memory is bounded.

        Args:
            clips: a source and its targets each, in the order of the video. As many clips' offsets are computed at
                once as have ``CELLS_AT_ONCE`` cells, ``GPU_CELLS_AT_ONCE`` on a GPU, those of one clip at least.

        Returns:
            for each clip what :meth:`propagate` gives.
        """
        masks = self._propagate_instances([clip for clip in clips if len(clip[0])])
        return [
            next(masks)
            if len(source)
            else source.masks.new_zeros((len(targets), *source.masks.shape), dtype=torch.float32)
            for source, targets in clips
        ]

    def _propagate_instances(self, clips: Sequence[Clip]) -> Iterator[Tensor]:
        for some in _groups(clips):
            for (source, targets), offsets in zip(some, self.stream_offsets(some), strict=True):
                codes = FrameCode.as_targets([frame.codes[KEY] for frame in targets], ('match', 'attention'))
                yield self._propagate(source.codes[KEY], codes, source.masks, offsets)

    def stream_offsets(self, clips: Sequence[Clip]) -> Sequence[Tensor]:
        """:meth:`predict_offsets` of frames that meet again in other clips: what that repeats is computed once.

        Args:
            clips: as :meth:`~maskprop.methods.maskprop.pair_blocks.PairBlocks.sums` takes them, one at least.

        Returns:
            (S, K, 2, H, W) float32 of each clip, cells.
        """
        counts = [len(targets) for _, targets in clips]
        blocks = PairBlocks(self._linear_block, self._offset_bias(), _frames_at_once(clips[0][0].masks))
        return self._read_offsets(blocks.sums(clips), sum(counts)).split(counts)

    # -- from offsets to masks

    def _propagate(
        self, source: FrameCode, targets: FrameCode, masks: Tensor, offsets: Tensor, literal: bool = False
    ) -> Tensor:
        if literal:
            propagated = self._propagate_literally(source, masks, offsets)
        else:
            propagated = propagate_values(
                source.values[0], masks, offsets, self.dilations, self.kernel_size
            )  # [S, N, R, H, W]
        logits = self._segment(propagated, targets)
        return self._normalize(logits) * targets.attention.float()

    def _propagate_literally(self, source: FrameCode, masks: Tensor, offsets: Tensor) -> Tensor:
        features = self._with_mask_channel(source.features)[0].float()
        weights = self.deform_weights.float()
        g = propagate_features(features, masks.float(), offsets, weights, self.dilations)
        projection = self.mask_conv if self.project is None else self.project
        return F.conv2d(g.flatten(0, 1), projection.weight).unflatten(0, g.shape[:2])

    def _segment(self, propagated: Tensor, targets: FrameCode) -> Tensor:
        """Logits (S, N, H, W) from the propagated (S, N, R, H, W) and the target frames' own terms."""
        fused = propagated + targets.match.float()[:, None]
        bias = self.mask_conv.bias.float()
        if self.project is None:
            return fused[:, :, 0] + bias
        weight = self.mask_conv.weight[0, :, 0, 0].float()
        return torch.einsum('snrhw,r->snhw', F.relu(fused), weight) + bias

    def _normalize(self, logits: Tensor) -> Tensor:
        if self.normalizer == 'sigmoid':
            return logits.sigmoid()
        if self.normalizer == 'instances':
            return logits.softmax(1)
        background = logits.new_zeros((len(logits), 1, *logits.shape[2:]))
        return torch.cat([logits, background], 1).softmax(1)[:, :-1]

    # -- training

    def loss(self, pairs: FramePairs) -> dict[str, Tensor]:
        """``loss_prop``: the mean of L_prop over the pairs; both frames of a pair are targets of its key frame."""
        codes = self.encode_features(pairs.feats)
        masks, matched = pairs.true_masks(self.stride)[::2], pairs.matched_masks(self.stride)
        sources = masks
        if self.mask_source == 'predicted':
            sources = pairs.predicted_masks(self.stride, self.detach_masks)
        targets = [torch.stack(pair) for pair in zip(masks, matched, strict=True)]
        return dict(loss_prop=self.pair_losses(codes, sources, targets).mean())

    def pair_losses(self, codes: FrameCode, masks: Sequence[Tensor], target_masks: Sequence[Tensor]) -> Tensor:
        """L_prop of B images (Eq. 2): the sum over instances and target frames.

        Args:
            codes: of B S frames, the S targets of an image side by side, first its source, frame t.
            masks: B tensors (N_b, H, W) float in [0, 1], instance masks of frame t.
            target_masks: B tensors (S, N_b, H, W) float, 0 or 1; all 0 where an instance is absent.

        Returns:
            (B,) float; of an image without instances 0; without any 0, but connected to every parameter of the
            branch.
        """
        counts, frames = [len(m) for m in masks], len(target_masks[0])
        most = max(counts)
        if most == 0:
            blank = masks[0].new_zeros((1, *masks[0].shape[1:]))
            nothing = 0 * self(codes.frame(0), codes.frames(0, frames), blank).sum()
            return nothing.expand(len(masks))
        if min(counts) == 0:  # an image's softmax is over its instances
            kept = [image for image, count in enumerate(counts) if count]
            rows = numbers_on(codes.match.device, kept)
            some = self.pair_losses(
                codes.select((rows[:, None] * frames + torch.arange(frames, device=rows.device)).flatten()),
                [masks[image] for image in kept],
                [target_masks[image] for image in kept],
            )
            return some.new_zeros(len(masks)).index_put((rows,), some)
        # images have different numbers of instances: empty ones fill up the batch
        sources = torch.stack([F.pad(m, (0, 0, 0, 0, 0, most - len(m))) for m in masks])  # [B, most, H, W]
        targets = torch.cat([F.pad(m, (0, 0, 0, 0, 0, most - m.shape[1])) for m in target_masks])
        real = None
        if min(counts) < most:
            filled = numbers_on(sources.device, counts).repeat_interleave(frames)
            real = torch.arange(most, device=sources.device) < filled[:, None]  # [B S, most]
        propagated = self.forward_pairs(codes, sources, frames, real)
        present = targets.flatten(2).any(2)
        loss = self.loss_mask(propagated, targets) * present  # [B S, most]
        if self.absent_weight:
            absent = ~present if real is None else ~present & real
            loss = loss + self.absent_weight * propagated.mean((-2, -1)) * absent
        return loss.view(len(masks), -1).sum(1)

    def forward_pairs(self, codes: FrameCode, masks: Tensor, frames: int, real: Tensor | None) -> Tensor:
        """:meth:`forward` of B images in one call, (B S, N, H, W); ``real``: which of the N exist, None: all."""
        source = FrameCode(*(None if t is None else t[::frames] for t in codes))
        repeated = source._replace(
            **{name: getattr(source, name).repeat_interleave(frames, 0) for name in ('motion', 'shortcut')}
        )
        offsets = self.predict_offsets(repeated, codes).unflatten(0, (len(masks), frames))
        propagated = propagate_pairs(source.values, masks, offsets, self.dilations, self.kernel_size)
        logits = self._segment(propagated.flatten(0, 1), codes)
        if real is not None:
            logits = logits.masked_fill(~real[:, :, None, None], -torch.inf)
        return self._normalize(logits) * codes.attention.float()

    def _with_mask_channel(self, features: Tensor) -> Tensor:
        return F.pad(features, (0, 0, 0, 0, 0, 1), value=1.0) if self.mask_channel else features


def _frames_at_once(masks: Tensor) -> int:
    return max(1, (GPU_CELLS_AT_ONCE if masks.is_cuda else CELLS_AT_ONCE) // masks[0].numel())


def _groups(clips: Sequence[Clip]) -> Iterator[list[Clip]]:
    """The clips in groups whose targets are convolved at once."""
    group: list[Clip] = []
    for source, targets in clips:
        if sum(len(t) for _, t in group) + len(targets) > _frames_at_once(source.masks) and group:
            yield group
            group = []
        group.append((source, targets))
    if group:
        yield group
