"""The detector's backbone and neck on channels-last maps against PyTorch's default, by size of the image.

    python tools/benchmarks/layout.py [--sizes 96x160 384x640 ...] [--json OUT] [--doc PAGE]

ResNet-50-FPN on one image, as the detector runs it. Where channels-last begins to pay is what ``SMALL_IMAGE`` of
``maskprop/ops/layout.py`` says. Fails if the feature maps differ by more than 1e-4 of the largest value.
"""

from __future__ import annotations

import argparse
from typing import Any

import models
import torch
from common import BenchmarkError, finish, full_precision, in_turns, parser, ratios, spread, start, table
from propagation import largest_difference
from torch import nn

from maskprop.ops.layout import SMALL_IMAGE

TOLERANCE = 1e-4  # of the largest value
LAYOUTS = {'default': torch.contiguous_format, 'channels-last': torch.channels_last}


def height_and_width(text: str) -> tuple[int, int]:
    """An argument's type: ``384x640``, pixels, multiples of 32."""
    try:
        height, width = (int(word) for word in text.split('x'))
    except ValueError:
        height = width = 0
    if height < 32 or width < 32 or height % 32 or width % 32:
        raise argparse.ArgumentTypeError(f'{text}: expected HEIGHTxWIDTH, multiples of 32, as 384x640')
    return height, width


def measure(detector: nn.Module, size: tuple[int, int], args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of both layouts in each round.

    Raises:
        BenchmarkError: the feature maps differ.
    """
    image = torch.randn(1, 3, *size, device=args.device)
    images = {name: image.contiguous(memory_format=layout) for name, layout in LAYOUTS.items()}
    with full_precision():
        expected, found = (detector.extract_feat(laid_out) for laid_out in images.values())
    apart = largest_difference(expected, found)
    if not apart <= TOLERANCE:
        raise BenchmarkError(f'{size}: the feature maps differ by {apart:.1e}, more than {TOLERANCE}')
    forms = {name: lambda x=laid_out: detector.extract_feat(x) for name, laid_out in images.items()}
    return dict(size=size, difference=apart, seconds=in_turns(forms, args.runs, args.device))


def lines_of(rows: list[dict[str, Any]]) -> list[str]:
    """The table."""
    body = []
    for row in rows:
        (height, width), (default, channels_last) = row['size'], row['seconds'].values()
        cells = [f'{width}x{height}', 'no' if height * width < SMALL_IMAGE else 'yes']
        cells += [spread([1e3 * value for value in seconds]) for seconds in (default, channels_last)]
        body.append([*cells, f'{spread(ratios(channels_last, default))}x'])
    head = ('image', 'channels-last on a CPU', 'default, ms', 'channels-last, ms', 'channels-last / default')
    return table(head, body)


@torch.no_grad()
def main(argv: list[str] | None = None) -> None:
    """Run it."""
    result = parser(__doc__, runs=5)
    sizes = ((96, 160), (192, 320), (256, 448), (384, 640), (736, 1280))
    result.add_argument('--sizes', type=height_and_width, nargs='+', default=sizes, metavar='HxW', help='pixels')
    args = result.parse_args(argv)
    start(args)
    detector = models.build(models.mask_track_cfg(), args.device).detector
    rows = [measure(detector, size, args) for size in args.sizes]
    finish(args, rows, lines_of(rows))


if __name__ == '__main__':
    main()
