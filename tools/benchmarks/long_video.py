"""Memory and time per frame of long videos against short ones, each in a process of its own.

    python tools/benchmarks/long_video.py [--frames 100 1000 5000] [--json OUT] [--doc PAGE]

The demo's model (2 T + 1 = 13; frames of ``--size``) goes through videos of each length as a stream: frames are
read from an mp4 file one by one, results.json is written track by track. Objects come and go, so that a long video
has thousands of ids; one stays throughout. Without ``--checkpoint`` weights are random and the objects are
injected as detections; with one, the detections are the model's own. After the last frame 50 more go in turns
through this session and a fresh one, and the median of the ratios says what the length costs in time. Mask
R-CNN ResNet-50-FPN with the paper's branch does 100 frames of ``--r50-size``, injected.

Fails unless frames that are 2 T or more from a cut come out the same when the neighbourhood is run alone:
detections, clip tracks, centre masks, pairwise matching scores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import common
import models
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from moving_scene import Film, InjectedScene, Scene
from stream_recorder import Recorder, check_same
from torch import nn

from maskprop.apis import VideoSession, init_model
from maskprop.evaluation.results_io import write_results
from maskprop.utils.numeric import positive

DEMO = models.CONFIGS / 'demo/maskprop_tiny_synthetic.py'
WINDOW = 50  # frames
INTERIOR = 8  # frames that are compared at a cut


def build(name: str, size: tuple[int, int], checkpoint: str | None, device: str) -> nn.Module:
    """The ``'demo'``'s model, or ``'r50'``, for frames of this (height, width)."""
    cfg = Config.fromfile(DEMO)
    if name == 'r50':
        cfg.model = models.maskprop_cfg(data_preprocessor=cfg.model.data_preprocessor)
        cfg.metainfo = dict(classes=[f'class {k}' for k in range(models.CLASSES)])
    elif checkpoint is None:
        cfg.metainfo = dict(classes=['square', 'disc', 'triangle'])
        cfg.model.linker.threshold = 0.3  # random weights copy masks, and neighbours share some of their mass
    for step in cfg.test_dataloader.dataset.pipeline[0].transforms:
        if step.type == 'Resize':
            step.scale = size[::-1]
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # init_weights says every parameter
    torch.manual_seed(0)
    return init_model(cfg, checkpoint, device)


class Player:
    """Feeds frames of a film of a scene to sessions of a model; ``film`` is to be set first."""

    film: Film

    def __init__(self, model: nn.Module, size: tuple[int, int], inject: bool) -> None:
        self.model = model
        self.scene = Scene(size, len(model.dataset_meta['classes']))
        self.injected = InjectedScene(model.detector, self.scene) if inject else None

    def step(self, session: VideoSession, frame: int, recorder: Recorder | None = None) -> float:
        """Seconds that a session takes for its next frame, which is the film's ``frame``; reading it is not in."""
        image = self.film.image(frame)
        if self.injected is not None:
            self.injected.frame = frame
        begin = time.perf_counter()
        results = session.step(image)
        seconds = time.perf_counter() - begin
        if recorder is not None:
            recorder.take(results)
        return seconds


def measure(player: Player, frames: int, extra: int = WINDOW) -> dict[str, Any]:
    """One video's row.

    Args:
        frames: its length. extra: frames after it that go in turns through its session and a fresh one.

    Raises:
        BenchmarkError: a part of the video run alone gives something else.
        SystemExit: the video is too short for that.
    """
    with tempfile.TemporaryDirectory() as folder:
        player.film = Film(Path(folder, 'film.mp4'), player.scene, frames + extra)
        return measure_film(player, frames, extra, Path(folder))


def measure_film(player: Player, frames: int, extra: int, folder: Path) -> dict[str, Any]:
    """:func:`measure` of the player's film, with the results in this folder."""
    before = common.peak_memory()
    session = VideoSession(player.model)
    delay = 2 * session.stream.radius  # frames that a frame waits for, and reaches back to
    reach = delay + INTERIOR // 2
    if frames < 2 * reach:
        raise SystemExit(f'{frames} frames cannot be cut: take {2 * reach} or more')
    cut = range(frames // 2 - reach, frames // 2 + reach)
    interior = cut[delay:-delay]
    recorder = Recorder(session.stream, interior)
    seconds = array('d', [player.step(session, frame, recorder) for frame in range(frames)])
    late, fresh = in_turns_with_a_fresh_one(player, session, frames, extra)
    recorder.take(session.finish())
    begin = time.perf_counter()
    records = write_results(folder / 'results.json', session.iter_results())
    writing = time.perf_counter() - begin
    row = dict(frames=frames, ids=len(session.stream.instances._tracks), records=records, before_mib=before)
    row.update(peak_mib=common.peak_memory(), writing_s=writing)
    if next(player.model.parameters()).is_cuda:
        row.update(gpu_mib=torch.cuda.max_memory_allocated() / 2**20)
    warm = seconds[2 * delay :] or seconds
    row.update(
        frame_s=statistics.median(warm),
        first_s=statistics.median(warm[:WINDOW]),
        last_s=statistics.median(warm[-WINDOW:]),
        late_to_fresh=statistics.median(common.ratios(late, fresh)) if extra else None,
    )
    row.update(compared=len(interior), largest_difference=run_alone(player, cut, recorder))
    return row


def in_turns_with_a_fresh_one(
    player: Player, session: VideoSession, first: int, count: int
) -> tuple[list[float], list[float]]:
    """Seconds of each of the next ``count`` frames in an old session and in one that has just filled its clips."""
    fresh = VideoSession(player.model)
    warming = 4 * session.stream.radius if count else 0
    for frame in range(max(first - warming, 0), first):
        player.step(fresh, frame)
    both: tuple[list[float], list[float]] = ([], [])
    for frame in range(first, first + count):
        turn = ((session, both[0]), (fresh, both[1]))
        for stepped, seconds in turn[:: 1 if frame % 2 else -1]:
            seconds.append(player.step(stepped, frame))
    return both


def run_alone(player: Player, cut: range, whole: Recorder) -> float:
    """Run the frames of a cut as a video of their own; the largest difference in tracks and scores."""
    session = VideoSession(player.model)
    alone = Recorder(session.stream, whole.frames, cut.start)
    for frame in cut:
        player.step(session, frame, alone)
    alone.take(session.finish())
    return check_same(whole, alone)


def in_a_process(args: argparse.Namespace, name: str, frames: int) -> dict[str, Any]:
    """:func:`measure` in a new process."""
    command = [sys.executable, __file__, '--one', name, '--frames', str(frames)]
    command += ['--threads', str(args.threads), '--device', args.device, '--turns', str(args.turns)]
    command += ['--size', *map(str, args.size), '--r50-size', *map(str, args.r50_size)]
    if args.checkpoint:
        command += ['--checkpoint', args.checkpoint]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise common.BenchmarkError(f'{name}, {frames} frames: the process failed (status {done.returncode})')
    return json.loads(done.stdout.splitlines()[-1])


def run_all(args: argparse.Namespace, jobs: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """The rows of jobs (model, frames): ``--at-once`` processes at a time, the longest video first."""
    pool = ThreadPoolExecutor(args.at_once)

    def run(job: tuple[str, int]) -> dict[str, Any]:
        row = in_a_process(args, *job)
        print(f'{job[0]}, {job[1]} frames: done', file=sys.stderr)
        return row

    try:
        longest_first = sorted(enumerate(jobs), key=lambda entry: -entry[1][1])
        rows = {index: pool.submit(run, job) for index, job in longest_first}
        for done in as_completed(rows.values()):
            done.result()  # the first failure ends the others
        return [rows[index].result() for index in range(len(jobs))]
    finally:
        pool.shutdown(cancel_futures=True)


def run_one(args: argparse.Namespace) -> dict[str, Any]:
    """What a process does: one model, one length."""
    size = tuple(args.size if args.one == 'demo' else args.r50_size)
    checkpoint = args.checkpoint if args.one == 'demo' else None
    player = Player(build(args.one, size, checkpoint, args.device), size, inject=checkpoint is None)
    row = measure(player, args.frames[0], args.turns if args.one == 'demo' else 0)
    return dict(model=args.one, size=list(size), **row)


def lines_of(rows: list[dict[str, Any]]) -> list[str]:
    """The table, and the longest video against the shortest."""
    head = ['model', 'pixels', 'frames', 'ids', 'records', 'before the first frame, MiB', 'peak, MiB']
    gpu = 'gpu_mib' in rows[0]
    head += ['GPU peak, MiB'] * gpu
    head += ['frame, ms', f'first {WINDOW}', f'last {WINDOW}', 'against a fresh session', 'writing, s']
    cells = []
    for row in rows:
        ratio = '' if row['late_to_fresh'] is None else f'{row["late_to_fresh"]:.2f}x'
        cells.append([row['model'], f'{row["size"][1]}x{row["size"][0]}', f'{row["frames"]:,}', f'{row["ids"]:,}'])
        cells[-1] += [f'{row["records"]:,}', f'{row["before_mib"]:.0f}', f'{row["peak_mib"]:.0f}']
        cells[-1] += [f'{row["gpu_mib"]:.0f}'] if gpu else []
        cells[-1] += [f'{1e3 * row[key]:.1f}' for key in ('frame_s', 'first_s', 'last_s')]
        cells[-1] += [ratio, f'{row["writing_s"]:.2f}']
    lines = common.table(head, cells)
    demo = [row for row in rows if row['model'] == 'demo']
    if len(demo) > 1:
        short, long = (pick(demo, key=lambda row: row['frames']) for pick in (min, max))
        against = ', '.join(f'{what} {long[key] / short[key]:.2f}x' for what, key in RATIOS.items() if key in long)
        lines += ['', f'{long["frames"]:,} frames against {short["frames"]:,}: {against}.']
    compared, most = sum(row['compared'] for row in rows), max(row['largest_difference'] for row in rows)
    return [*lines, '', f'Cuts: {compared} frames compared; tracks and scores differ by {most:.1g} at most.']


RATIOS = {'peak memory': 'peak_mib', 'GPU memory': 'gpu_mib', 'time per frame': 'frame_s'}


def main() -> None:
    parser = common.parser(__doc__, runs=1)
    parser.add_argument('--frames', type=int, nargs='+', default=[100, 1000, 5000], help='lengths of the videos')
    parser.add_argument('--size', type=int, nargs=2, default=(32, 64), metavar=('H', 'W'), help='pixels')
    parser.add_argument('--r50-frames', type=int, default=100, help='0: leave it out; default: %(default)s')
    parser.add_argument('--r50-size', type=int, nargs=2, default=(192, 320), metavar=('H', 'W'), help='pixels')
    parser.add_argument('--turns', type=int, default=WINDOW, help='frames after the last, against a fresh session')
    parser.add_argument('--at-once', type=positive, default=1, metavar='N', help='processes; default: %(default)s')
    parser.add_argument('--checkpoint', help='of the demo, from tools/train.py')
    parser.add_argument('--one', choices=('demo', 'r50'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        torch.set_num_threads(args.threads)
        print(json.dumps(run_one(args)))
        return
    common.start(args)
    jobs = [('demo', frames) for frames in args.frames] * args.runs
    jobs += [('r50', args.r50_frames)] if args.r50_frames else []
    rows = run_all(args, jobs)
    common.finish(args, rows, lines_of(rows))


if __name__ == '__main__':
    main()
