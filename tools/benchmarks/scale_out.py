"""tools/train.py and tools/test.py on several processes against one, one thread each, in alternating runs.

    python tools/benchmarks/scale_out.py [--processes 2] [--runs 3] [--json out.json]

The demo's model on a small set that the script makes, gloo on this machine. Training: the same samples, split over
the processes or not; seconds from the end of the third iteration to that of the last. Test: the same videos,
seconds of the slowest process. Checked: the processes' samples are together those of one process, and their
weights are equal in the end; the results files of the tests are equal byte for byte. What a process does between
iterations (logging, saving, schedulers) and what scoring takes while others wait is measured in each process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import common

ROOT = Path(__file__).resolve().parents[2]
WARM_UP = 3  # iterations that are not counted
BATCH = 4  # of each process
CONFIG = """_base_ = {base!r}
custom_imports = dict(imports=['maskprop.registration', 'rank_clock'], allow_failed_imports=False)
# a model this new is sure of nothing
model = dict(detector=dict(test_cfg=dict(rcnn=dict(score_thr=0.01, max_per_img=8))))
train_dataloader = dict(
    batch_size={batch}, num_workers=0, persistent_workers=False,
    sampler=dict(samples_per_epoch={samples}), dataset=dict(data_root={data!r}))
val_dataloader = dict(dataset=dict(data_root={data!r}))
test_dataloader = dict(dataset=dict(data_root={data!r}))
val_evaluator = dict(ann_file={data!r} + 'annotations/val.json')
test_evaluator = dict(ann_file={data!r} + 'annotations/val.json')
train_cfg = dict(max_epochs=1, val_begin=2)
default_hooks = dict(logger=dict(interval={log_interval}))
custom_hooks = [dict(type='RankClock'), dict(type='RankClockStart')]
randomness = dict(seed=0)
"""

Ranks = list[dict[str, Any]]  # what RankClock wrote, by rank


def main() -> None:
    parser = common.parser(__doc__, runs=3)
    parser.set_defaults(threads=1)
    parser.add_argument('--processes', type=int, default=2)
    parser.add_argument('--samples', type=int, default=96, help='pairs of a training; default: %(default)s')
    parser.add_argument('--videos', type=int, default=8, help='of the test; default: %(default)s')
    parser.add_argument('--frames', type=int, default=36, help='of a video; default: %(default)s')
    parser.add_argument('--log-interval', type=int, default=10, help='iterations; default: %(default)s')
    args = parser.parse_args()
    common.start(args)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(args, Path(folder))
    common.finish(args, rows, lines(rows, args))


def measure(args: Namespace, folder: Path) -> dict[str, Any]:
    """Make the set, then run both forms of training and test in turn."""
    config = write_inputs(args, folder)
    runs: list[dict[str, tuple[Ranks, Ranks]]] = []
    for index in range(args.runs):
        print(f'round {index + 1} of {args.runs}', file=sys.stderr, flush=True)
        trained = {n: train(config, n) for n in (1, args.processes)}
        check_trainings(trained[1], trained[args.processes])
        checkpoint = config.parent / 'train_1' / 'epoch_1.pth'
        tested = {n: test(config, checkpoint, n) for n in (1, args.processes)}
        check_tests(config.parent, args.processes)
        runs.append(dict(train=tuple(trained.values()), test=tuple(tested.values())))
    return summarize(runs)


def write_inputs(args: Namespace, folder: Path) -> Path:
    """The set and the config, in ``folder``."""
    command = ['tools/make_synthetic.py', folder / 'set', '--videos', 8, '--val-videos', args.videos, '--seed', 0]
    run([*command, '--frames', args.frames, '--workers', args.processes], folder)
    config = folder / 'scale_out.py'
    keys = dict(data=f'{folder}/set/', samples=args.samples, log_interval=args.log_interval, batch=BATCH)
    config.write_text(CONFIG.format(base=str(ROOT / 'configs/demo/maskprop_tiny_synthetic.py'), **keys))
    return config


def train(config: Path, processes: int) -> Ranks:
    """Train, and give what each process wrote."""
    folder = config.parent / f'train_{processes}'
    return launch('tools/train.py', processes, folder, config, '--work-dir', folder)


def test(config: Path, checkpoint: Path, processes: int) -> Ranks:
    """Test, and give what each process wrote; the results are in ``results_<processes>.json``."""
    out, folder = config.parent / f'results_{processes}.json', config.parent / f'test_{processes}'
    return launch('tools/test.py', processes, folder, config, checkpoint, '--work-dir', folder, '--out', out)


def launch(tool: str, processes: int, clocks: Path, *arguments: Any) -> Ranks:
    """Run a tool as one process, or by torchrun as several."""
    clocks.mkdir(exist_ok=True)
    if processes == 1:
        run([tool, *arguments], clocks)
    else:
        torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', processes]
        run([*torchrun, tool, *arguments, '--launcher', 'pytorch'], clocks)
    return [json.loads((clocks / f'rank_{rank}.json').read_text()) for rank in range(processes)]


def run(arguments: list[Any], clocks: Path) -> None:
    """Run Python on ``arguments`` with one thread a process; on failure, its output is shown."""
    paths = [str(ROOT), str(ROOT / 'tools/benchmarks'), os.environ.get('PYTHONPATH')]
    env = dict(
        os.environ,
        OMP_NUM_THREADS='1',
        RANK_CLOCK_OUT=str(clocks),
        PYTHONPATH=os.pathsep.join(filter(None, paths)),
    )
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise common.BenchmarkError(f'{" ".join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}')


def check_trainings(one: Ranks, several: Ranks) -> None:
    """Raises BenchmarkError unless both used the same samples, and all processes have the same weights."""
    samples = [sorted(sample for rank in ranks for sample in rank['samples']) for ranks in (one, several)]
    if samples[0] != samples[1]:
        raise common.BenchmarkError(
            f'{len(samples[0])} samples of one process are not the {len(samples[1])} of several'
        )
    if len({len(rank['ends']) for rank in several}) > 1 or any(
        r['weights'] != several[0]['weights'] for r in several
    ):
        raise common.BenchmarkError('processes of one training made unequal steps or ended with unequal weights')


def check_tests(folder: Path, processes: int) -> None:
    """Raises BenchmarkError unless the results files are equal byte for byte."""
    one, several = ((folder / f'results_{n}.json').read_bytes() for n in (1, processes))
    if one != several or not json.loads(one):
        raise common.BenchmarkError(f'{processes} processes and one gave different results, or none')


def summarize(runs: list[dict[str, tuple[Ranks, Ranks]]]) -> dict[str, Any]:
    """Rates and waits, a value for each round; those of one process first."""
    result: dict[str, Any] = {}
    for kind, rate in (('train', samples_per_second), ('test', frames_per_second)):
        one, several = ([rate(r[kind][form]) for r in runs] for form in (0, 1))
        result[kind] = dict(one=one, several=several, ratio=common.ratios(several, one))
    trainings, tests = ([r[kind][1] for r in runs] for kind in ('train', 'test'))
    result['hooks_ms'] = [
        [1e3 * statistics.mean(rank['hooks'][WARM_UP:]) for rank in ranks] for ranks in trainings
    ]
    result['step_ms'] = [1e3 * seconds_per_step(ranks) for ranks in trainings]
    result['frames'] = [rank['frames'] for rank in tests[0]]
    # whoever comes last doesn't wait: the shortest stay is the scoring
    stays = [[rank['stages']['evaluation'] for rank in ranks] for ranks in tests]
    result['scoring_s'] = [min(stay) for stay in stays]
    result['waited_s'] = [max(stay) - min(stay) for stay in stays]
    result['test_s'] = [max(own_seconds(rank) for rank in ranks) for ranks in tests]
    return result


def seconds_per_step(ranks: Ranks) -> float:
    ends = ranks[0]['ends']
    return (ends[-1] - ends[WARM_UP - 1]) / (len(ends) - WARM_UP)


def samples_per_second(ranks: Ranks) -> float:
    return BATCH * len(ranks) / seconds_per_step(ranks)


def own_seconds(rank: dict[str, Any]) -> float:
    """Of a test, without what comes after the last frame."""
    return sum(seconds for stage, seconds in rank['stages'].items() if stage != 'evaluation')


def frames_per_second(ranks: Ranks) -> float:
    return sum(rank['frames'] for rank in ranks) / max(own_seconds(rank) for rank in ranks)


def lines(rows: dict[str, Any], args: Namespace) -> list[str]:
    """The tables."""
    name = f'{args.processes} processes'
    speed = [
        [what, *(common.spread(rows[kind][key]) for key in ('one', 'several', 'ratio'))]
        for kind, what in (('train', 'training, samples per second'), ('test', 'test, frames per second'))
    ]
    ranks = range(args.processes)
    waits = [['step of the training', f'{common.spread(rows["step_ms"])} ms']]
    waits += [
        [
            f'of it, logging and all other hooks on rank {r}',
            f'{common.spread([h[r] for h in rows["hooks_ms"]])} ms',
        ]
        for r in ranks
    ]
    waits += [
        ['test, slowest process', f'{common.spread(rows["test_s"])} s'],
        ['frames of each process', ', '.join(map(str, rows['frames']))],
        ['wait for the slowest process', f'{common.spread(rows["waited_s"])} s'],
        ['gathering and scoring on rank 0', f'{common.spread(rows["scoring_s"])} s'],
    ]
    return [*common.table(['', 'one process', name, 'ratio'], speed), '', *common.table([name, ''], waits)]


if __name__ == '__main__':
    main()
