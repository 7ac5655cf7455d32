"""The exact fast propagation against the paper's deformable convolution (torchvision's kernel), in one process.

    python tools/benchmarks/propagation.py [--instances 8] [--size 45 80] [--channels 256] [--json out.json]

Both give the logits of one target frame from the same parameters (linear fusion, dilations 3, 6, 12). The fast
form's time includes folding the kernels and computing the value maps, which a video needs once per frame only.
Prints medians, their range, the ratio and the largest difference relative to the largest logit; fails above 1e-5.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision

from maskprop.ops.propagation import fold_kernels, propagate_features, propagate_values

DILATIONS = (3, 6, 12)
TOLERANCE = 1e-5


def make_inputs(instances: int, channels: int, height: int, width: int, device: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    scale = (channels * 9) ** -0.5
    inputs = dict(
        features=torch.randn(channels, height, width, generator=generator),
        masks=torch.rand(instances, height, width, generator=generator),
        offsets=3 * torch.randn(1, 9 * len(DILATIONS), 2, height, width, generator=generator),
        weights=scale * torch.randn(len(DILATIONS), channels, channels, 3, 3, generator=generator),
        projection=channels**-0.5 * torch.randn(1, channels, generator=generator),
    )
    return {name: value.to(device).requires_grad_() for name, value in inputs.items()}


def literal(features, masks, offsets, weights, projection) -> torch.Tensor:
    propagated = propagate_features(features, masks, offsets, weights, DILATIONS)[0]
    return F.conv2d(propagated, projection[:, :, None, None])[:, 0]


def fast(features, masks, offsets, weights, projection) -> torch.Tensor:
    values = F.conv2d(features[None], fold_kernels(weights, projection))
    return propagate_values(values.unflatten(1, (1, -1))[0], masks, offsets, DILATIONS)[0, :, 0]


def measure(function: Callable, inputs: dict, backward: bool, runs: int) -> list[float]:
    """Seconds of each run, after one to warm up."""
    seconds = []
    for _ in range(runs + 1):
        if inputs['features'].is_cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.set_grad_enabled(backward):
            out = function(**inputs)
            if backward:
                torch.autograd.grad(out.square().sum(), list(inputs.values()))
        if inputs['features'].is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--instances', type=int, default=8)
    parser.add_argument('--channels', type=int, default=256)
    parser.add_argument('--size', type=int, nargs=2, default=(45, 80), metavar=('H', 'W'), help='cells')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument(
        '--runs', type=int, default=3, help='of the literal form; the fast one runs ten times as often'
    )
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    inputs = make_inputs(args.instances, args.channels, *args.size, args.device)
    with torch.no_grad():
        expected, found = literal(**inputs), fast(**inputs)
    difference = float((expected - found).abs().max() / expected.abs().max())
    device = 'CPU' if args.device == 'cpu' else torch.cuda.get_device_name()
    print(f'torch {torch.__version__}, torchvision {torchvision.__version__}, {args.threads} threads, {device}')
    print(f'{args.instances} instances, {args.channels} channels, {args.size[0]}x{args.size[1]} cells')
    print(f'largest difference / largest logit: {difference:.1e}')
    rows = dict(instances=args.instances, channels=args.channels, size=list(args.size), difference=difference)
    for name, backward in (('forward', False), ('forward+backward', True)):
        slow = measure(literal, inputs, backward, args.runs)
        quick = measure(fast, inputs, backward, 10 * args.runs)
        ratio = statistics.median(slow) / statistics.median(quick)
        rows[name] = dict(literal_s=statistics.median(slow), fast_s=statistics.median(quick), ratio=ratio)
        for label, times in (('literal', slow), ('fast', quick)):
            median = statistics.median(times)
            low, high = 1e3 * min(times), 1e3 * max(times)
            print(f'{name:17s} {label:8s} {1e3 * median:9.2f} ms   ({low:.2f} to {high:.2f})')
        print(f'{name:17s} ratio    {ratio:9.0f}x')
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    if difference > TOLERANCE:
        raise SystemExit(f'the two forms differ by {difference:.1e}, more than {TOLERANCE}')


if __name__ == '__main__':
    main()
