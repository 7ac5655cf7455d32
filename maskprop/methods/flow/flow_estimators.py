"""Optical flow between two images: OpenCV's DIS, which needs no weights, and torchvision's RAFT."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor, nn
from torchvision.models import optical_flow as raft

from maskprop.engine.checkpoint import load_checkpoint_file
from maskprop.engine.errors import CheckpointError

DIS_PRESETS = {
    'ultrafast': cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    'fast': cv2.DISOPTICAL_FLOW_PRESET_FAST,
    'medium': cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
RAFT_WEIGHTS = {'raft_small': raft.Raft_Small_Weights, 'raft_large': raft.Raft_Large_Weights}
RAFT_DIVISOR = 8  # its features have this stride
RAFT_MIN_SIDE = 128  # pixels; below, its correlation pyramid is empty


@TASK_UTILS.register_module()
class DISFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016), on grey values.

    Args:
        preset: of OpenCV: ``'ultrafast'``, ``'fast'`` or ``'medium'``, from the coarsest flow to the finest.

    Raises:
        ValueError: ``preset`` is unknown.
    """

    def __init__(self, preset: str = 'medium') -> None:
        if preset not in DIS_PRESETS:
            raise ValueError(f'preset={preset!r} is unknown; choose one of {tuple(DIS_PRESETS)}')
        self.preset = preset

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow from the first to the second image of B pairs.

        Args:
            first, second: (B, 3, H, W) uint8, RGB.

        Returns:
            (B, 2, H, W) float32 on the CPU, (x, y) in pixels: what is at p in the first image is at p + F(p) in
            the second.
        """
        # made for each call: it holds buffers, and cannot be copied with the model that holds it
        search = cv2.DISOpticalFlow_create(DIS_PRESETS[self.preset])
        pairs = zip(first, second, strict=True)
        flows = [search.calc(_grey(a), _grey(b), None) for a, b in pairs]
        return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2).contiguous()


@TASK_UTILS.register_module()
class RAFTFlow:
    """RAFT (Teed and Deng, ECCV 2020) as torchvision has it.

    Args:
        arch: ``'raft_small'`` or ``'raft_large'``.
        weights: ``'DEFAULT'`` or another name of torchvision's weights for ``arch``, which are downloaded; the
            path of a state dict; or ``None``: random ones, for tests.
        num_flow_updates: refinements of the flow.
        device: where it runs; ``None``: on the GPU if there is one.

    Raises:
        ValueError: ``arch`` or ``weights`` is unknown, or the file is of another network.
        OSError: the weights cannot be downloaded.
    """

    def __init__(
        self,
        arch: str = 'raft_small',
        weights: str | None = 'DEFAULT',
        num_flow_updates: int = 12,
        device: str | None = None,
    ) -> None:
        if arch not in RAFT_WEIGHTS:
            raise ValueError(f'arch={arch!r} is unknown; choose one of {tuple(RAFT_WEIGHTS)}')
        self.num_flow_updates = num_flow_updates
        self.device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.net = _build_raft(arch, weights, self.device)

    @torch.no_grad()
    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow from the first to the second image of B pairs.

        Args:
            first, second: (B, 3, H, W) uint8, RGB.

        Returns:
            (B, 2, H, W) float32, as :meth:`DISFlow.estimate` gives it.
        """
        height, width = first.shape[-2:]
        images = [self._network_input(image) for image in (first, second)]
        flow = self.net(*images, num_flow_updates=self.num_flow_updates)[-1]
        return flow[..., :height, :width]

    def _network_input(self, images: Tensor) -> Tensor:
        """Values in -1..1, the edges repeated to the right and below up to a size that the network takes."""
        values = images.to(self.device).float() / 127.5 - 1
        sides = images.shape[-2:]
        extra = [max(-(-side // RAFT_DIVISOR) * RAFT_DIVISOR, RAFT_MIN_SIDE) - side for side in sides]
        return F.pad(values, (0, extra[1], 0, extra[0]), mode='replicate')


def _grey(image: Tensor) -> np.ndarray:
    return cv2.cvtColor(image.permute(1, 2, 0).contiguous().cpu().numpy(), cv2.COLOR_RGB2GRAY)


@lru_cache(maxsize=2)  # a propagator is made for every video, the net once
def _build_raft(arch: str, weights: str | None, device: torch.device) -> nn.Module:
    return _load_raft(arch, weights).to(device)


def _load_raft(arch: str, weights: str | None) -> nn.Module:
    net = getattr(raft, arch)(weights=None, progress=False).eval().requires_grad_(False)
    if weights is None:
        return net
    known = RAFT_WEIGHTS[arch].__members__
    if weights in known:
        net.load_state_dict(_download(arch, weights))
        return net
    if not Path(weights).is_file():
        raise ValueError(
            f'RAFTFlow: weights={weights!r} is neither a file nor the name of weights for {arch}; '
            f'the names are {", ".join(known)}'
        )
    try:
        net.load_state_dict(load_checkpoint_file(weights, 'cpu'))
    except (RuntimeError, TypeError, CheckpointError) as error:
        reason = f': {error}' if isinstance(error, CheckpointError) else ''
        words = f"RAFTFlow: weights={weights!r} is no state dict of torchvision's {arch}{reason}"
        raise ValueError(words) from error
    return net


def _download(arch: str, name: str) -> dict[str, Tensor]:
    """The state dict, from torch's cache or from the net."""
    entry = RAFT_WEIGHTS[arch][name]
    try:
        return entry.get_state_dict(progress=False, check_hash=True, map_location='cpu', weights_only=True)
    except (OSError, RuntimeError) as error:
        file = Path(torch.hub.get_dir(), 'checkpoints', Path(entry.url).name)
        raise OSError(
            f'RAFTFlow: the weights {name} of {arch} could not be downloaded ({error}). Get {entry.url} elsewhere '
            f"and put it at {file}, or give its path by the propagator's key flow.weights; "
            "flow.type='DISFlow' needs none"
        ) from error
