"""The offsets' residual block in a stream, where two frames of a clip meet again in another clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maskprop.methods.maskprop.frame_code import KEY, FrameCode
from maskprop.structures import Frame

Clip = tuple[Frame, Sequence[Frame]]  # frame t, and the frames of its clip in the order of the video


@dataclass
class _Block:
    """The convolution of the rectified difference of two frames; None until it is computed."""

    source: Tensor  # their codes' motion; kept, so that its number in a memo stays its own
    target: Tensor
    found: Tensor | None = None


class _Pair(NamedTuple):
    source: Frame
    target: Frame
    block: _Block | None  # None of a frame with itself, where it is 0
    reverse: bool  # the block is that of the other order


class PairBlocks:
    """Sums of the residual block for pairs of frames, with one convolution for both orders of two frames.

    Args:
        convolve: the block's second convolution, (S, C, H, W) to the same; linear, without a bias.
        bias: (C, 1, 1), the biases of block and shortcut.
        step: so many pairs are convolved at once.
    """

    def __init__(self, convolve: Callable[[Tensor], Tensor], bias: Tensor, step: int) -> None:
        self.convolve = convolve
        self.bias = bias
        self.step = step

    def sums(self, clips: Sequence[Clip]) -> Iterator[Tensor]:
        """The sums of all pairs of all clips, at most ``step`` at a time, (S, C, H, W).

        Args:
            clips: each a frame t and its targets in the order of the video, t itself may be among them. In the
                ``memo`` of those after it is left what they need when they look back at t; what t finds in its
                own, it takes out.
        """
        pairs = [pair for source, targets in clips for pair in _pairs(source, targets)]
        self._convolve_new([pair.block for pair in pairs if pair.block is not None and not pair.reverse])
        self._add_linear([frame for pair in pairs if pair.reverse for frame in (pair.source, pair.target)])
        firsts: dict[tuple[int, bool], Tensor] = {}
        for some in self._parts(pairs):
            for pair in some:
                place = id(pair.source), pair.reverse
                if place not in firsts:
                    firsts[place] = _own_part(pair.source, pair.reverse) + self.bias
            yield _sums(some, [firsts[id(pair.source), pair.reverse] for pair in some])

    def _convolve_new(self, blocks: Sequence[_Block]) -> None:
        for some in self._parts(blocks):
            differences = torch._foreach_sub([block.source for block in some], [block.target for block in some])
            found = self.convolve(join(differences).relu_())
            for block, part in zip(some, found.split(1), strict=True):
                block.found = part

    def _add_linear(self, frames: Sequence[Frame]) -> None:
        """Each frame's share of the residual block where nothing is rectified."""
        new = list({id(frame.memo): frame for frame in frames if 'linear' not in frame.memo}.values())
        for some in self._parts(new):
            codes = [_code(frame) for frame in some]
            found = self.convolve(join([code.motion for code in codes])).split(1)
            linear = torch._foreach_add(found, [code.shortcut for code in codes])
            for frame, part in zip(some, linear, strict=True):
                frame.memo['linear'] = part

    def _parts(self, items: Sequence[Any]) -> Iterator[Sequence[Any]]:
        return (items[start : start + self.step] for start in range(0, len(items), self.step))


def _pairs(source: Frame, targets: Sequence[Frame]) -> Iterator[_Pair]:
    motion, later = _code(source).motion, False
    for target in targets:
        if target is source:
            later = True
            yield _Pair(source, target, None, reverse=False)
            continue
        known = source.memo.pop(id(_code(target).motion), None)
        if known is not None:
            yield _Pair(source, target, known, reverse=True)
            continue
        block = _Block(motion, _code(target).motion)
        if later:  # it will look back at this one
            target.memo[id(motion)] = block
        yield _Pair(source, target, block, reverse=False)


def _sums(pairs: Sequence[_Pair], firsts: Sequence[Tensor]) -> Tensor:
    """Of each pair what its frames have alone and what they have together."""
    # max(x, 0) = max(-x, 0) + x: the other order's block, and the block of x, which is linear
    totals = torch._foreach_sub(firsts, [_own_part(pair.target, pair.reverse) for pair in pairs])
    blocks = [pair.block.found for pair in pairs if pair.block is not None]
    with_block = [total for total, pair in zip(totals, pairs, strict=True) if pair.block is not None]
    if blocks:
        torch._foreach_add_(with_block, blocks)
    return join(totals)


def _own_part(frame: Frame, linear: bool) -> Tensor:
    return frame.memo['linear'] if linear else _code(frame).shortcut


def _code(frame: Frame) -> FrameCode:
    return frame.codes[KEY]


def join(tensors: Sequence[Tensor]) -> Tensor:
    """Along the first dimension; a single one is not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
