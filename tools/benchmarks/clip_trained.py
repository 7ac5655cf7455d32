"""A trained model on a video, with its linker and with one that needs no clips; run by clip_inference.py."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from common import BenchmarkError, in_turns, ratios, spread, table

from maskprop.apis import VideoSession, init_model
from maskprop.apis.frames import open_frames


def time_trained(args: argparse.Namespace) -> dict:
    """A trained model on a video: with its linker, and with one that needs no clips."""
    sessions, outputs, pending = {}, {}, {}
    for name in ('detector', 'maskprop'):
        model = init_model(args.config, args.checkpoint, args.device)
        if name == 'detector':
            linker = dict(type='BoxIoULinker')
            model.stream = replace(model.stream, linker=linker, fill=False, output_mask='detection')
        sessions[name], outputs[name] = VideoSession(model), []
        pending[name] = iter(open_frames(args.video))
    total = sum(1 for _ in open_frames(args.video))

    def take(name: str) -> None:
        outputs[name] += sessions[name].step(next(pending[name]))

    first = min(total - 2, 4 * model.stream.clip_radius + 1)  # until the clips and the linker are full
    if first < 1:
        raise SystemExit(f'{args.video}: {total} frames, expected at least 3')
    for name in sessions:
        for _ in range(first - 1):
            take(name)
    seconds = in_turns({name: lambda n=name: take(n) for name in sessions}, total - first, args.device)
    for name, session in sessions.items():
        outputs[name] += session.finish()
    for ours, alone in zip(outputs['maskprop'], outputs['detector'], strict=True):
        found = [mask for mask, filled in zip(ours.masks, ours.filled, strict=True) if not filled]
        if model.stream.output_mask == 'detection' and found != alone.masks:
            raise BenchmarkError(
                f'frame {ours.frame_index}: {len(found)} masks, not the {len(alone.masks)} of the other'
            )
    detections = [len(frame.masks) for frame in outputs['detector']]
    return dict(frames=total, timed=total - first, detections=detections, seconds=seconds)


def trained_lines(row: dict, args: argparse.Namespace) -> list[str]:
    """The table of the trained model."""
    seconds = row['seconds']
    body = [[name, spread([1e3 * value for value in values])] for name, values in seconds.items()]
    found = spread(row['detections'])
    return [
        f'`{Path(args.config).name}`, trained, {row["timed"]} frames with {found} detections each, files read:',
        '',
        *table(('side', 'ms per frame'), body),
        '',
        f"Time, relative to the detector's: {spread(ratios(seconds['maskprop'], seconds['detector']))}x.",
    ]
