"""Small trainings and tests of every method, recorded to hold two revisions against each other bit for bit.

    git worktree add ../before REVISION
    python tools/benchmarks/record_results.py work_dirs/before --root ../before
    python tools/benchmarks/record_results.py work_dirs/after
    python tools/benchmarks/record_results.py work_dirs/crossed --checkpoints work_dirs/before
    python tools/benchmarks/record_results.py --compare work_dirs/before work_dirs/after work_dirs/crossed

A record is record.json: every logged loss of each training, a digest of its final weights, and the digest of each
results file of tools/test.py. It takes about fifteen minutes of two cores. All processes use one thread, and equal
records need the same machine and the same packages. ``--root`` runs the tools of another checkout on this one's
cases. ``--checkpoints`` takes the checkpoints of another record: its trainings are gone on with from the middle
(``--resume``), and its final weights are tested.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parents[2]
ITERATIONS = 30
LOGGED_TIMES = ('time', 'data_time', 'memory')

STSN = """
model = dict(aggregator=dict(
    type='SpatiotemporalSampler', levels=(3,), in_channels=(128,), num_layers=2, channels=32,
    embed_channels=(32, 32, 64), window=2, num_support=1))
train_pipeline = _base_.train_pipeline
train_pipeline[0].update(num_support=1, max_support_gap=2)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
"""
SORT = "dict(type='SORTTracker', obj_score_thr=0.0, match_iou_thr=0.02, num_tentatives=2, num_frames_retain=30)"
DEMO, STUDY = 'demo/maskprop_tiny_synthetic.py', 'objprop/study_tiny_synthetic.py'
UNFILLED = 'model = dict(fill=False, linker=dict(_delete_=True, {}))'
# name of a training or test -> the config that it is based on, and what is changed in it
CONFIGS = {
    'maskprop': (DEMO, ''),
    'stsn': (DEMO, STSN),
    'masktrack': ('masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py', ''),
    'objprop': (STUDY, 'model = dict(history_fill=dict(max_age=None))'),
    'refined': ('ablations/refinement_head_tiny.py', 'load_from = None'),
    'flow': (DEMO, "model = dict(propagator=dict(type='FlowPropagator'))"),
    'copy': (DEMO, "model = dict(propagator=dict(type='CopyPropagator'), output_mask='propagated')"),
    'sort': (DEMO, UNFILLED.format(f"type='MMDetTrackerLinker', tracker={SORT}")),
    'mask_iou': (DEMO, UNFILLED.format("type='MaskIoULinker', threshold=0.02")),
    'deepsort': (STUDY, UNFILLED.format(f"type='MMDetTrackerLinker', tracker={SORT}, reid='embeds'")),
}
# test -> whose trained weights it is of
TESTS = dict(
    maskprop='maskprop', stsn='stsn', masktrack='masktrack', objprop='objprop', refined='refined',
    flow='maskprop', copy='maskprop', sort='maskprop', mask_iou='maskprop', deepsort='objprop',
)  # fmt: skip
# full-size models, untrained, and trained for three steps
FULL_SIZE = {
    'htc_r50': 'maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py',
    'masktrack_r50': 'masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py',
    'objprop_r50': 'objprop/objprop_r50_fpn_12e_ytvis2019.py',
    'objprop_legacy': 'objprop/objprop_r50_fpn_legacy.py',
}
UNTRAINED = """
import sys, torch
from maskprop.apis import init_model
torch.manual_seed(0)
torch.set_num_threads(1)
options = dict(option.split('=') for option in sys.argv[3:])
options = {key: None if value == 'None' else value for key, value in options.items()}
model = init_model(sys.argv[1], device='cpu', cfg_options=options)
torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=model.dataset_meta)), sys.argv[2])
"""


class Recorder:
    """Runs the tools of a checkout and keeps what they give."""

    def __init__(self, out: Path, root: Path, checkpoints: Path | None) -> None:
        self.out, self.root, self.checkpoints = out.resolve(), root.resolve(), checkpoints
        self.data, self.file = self.out / 'set', self.out / 'record.json'
        # what an interrupted call has recorded is not done again
        self.record = json.loads(self.file.read_text(encoding='utf-8')) if self.file.is_file() else {}

    def keep(self, key: str, value: object) -> None:
        self.record[key] = value
        self.file.write_text(json.dumps(self.record, indent=1), encoding='utf-8')
        print(key, value if isinstance(value, str) else f'of {len(value)} steps', flush=True)

    def run(self, *command: object) -> None:
        env = {**os.environ, 'PYTHONPATH': str(self.root), 'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'}
        with open(self.out / 'log.txt', 'a', encoding='utf-8') as log:
            done = subprocess.run(
                [sys.executable, *map(str, command)], cwd=self.root, env=env, stdout=log, stderr=subprocess.STDOUT
            )
        if done.returncode:
            raise SystemExit(f'failed: {" ".join(map(str, command))} (see {self.out}/log.txt)')

    def config(self, name: str) -> Path:
        """A config file of a case, based on one of the checkout's."""
        base, change = CONFIGS[name] if name in CONFIGS else (FULL_SIZE[name], '')
        path = self.out / 'configs' / f'{name}.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"_base_ = ['{self.root}/configs/{base}']\n{change}\n", encoding='utf-8')
        return path

    def options(self, *more: str) -> list[str]:
        sets = [f'{split}_dataloader.dataset.data_root={self.data}' for split in ('train', 'val', 'test')]
        files = [f'{split}_evaluator.ann_file={self.data}/annotations/val.json' for split in ('val', 'test')]
        return ['--cfg-options', *sets, *files, *more]

    def train(self, name: str, processes: int = 1, initial: Path | None = None, steps: int = ITERATIONS) -> Path:
        """Losses and final weights of a training."""
        case, batch = f'{name}_{processes}', 2 // processes
        work = self.out / 'train' / case
        final = work / f'iter_{steps}.pth'
        if f'weights {case}' in self.record:
            return final
        options = [
            'train_cfg.max_epochs=1', 'train_cfg.val_interval=1', f'train_dataloader.batch_size={batch}',
            f'train_dataloader.sampler.samples_per_epoch={2 * steps}', 'train_dataloader.num_workers=0',
            'train_dataloader.persistent_workers=False', 'default_hooks.logger.interval=1',
            'log_processor.window_size=1', 'default_hooks.checkpoint.by_epoch=False',
            f'default_hooks.checkpoint.interval={max(1, steps // 2)}', 'default_hooks.checkpoint.max_keep_ckpts=9',
        ]  # fmt: skip
        if name in FULL_SIZE:
            scale = '[(320,192),(320,160)]' if name == 'htc_r50' else '(320,192)'  # drawn from, or fixed
            options += [
                'train_dataloader.dataset.ann_file=annotations/train.json', 'model.detector.init_cfg=None',
                'train_dataloader.dataset.data_prefix.img_path=JPEGImages',
                f'train_dataloader.dataset.pipeline.1.transforms.2.scale={scale}', 'load_from=None',
            ]  # fmt: skip
        if name == 'htc_r50':  # a step on full patches takes minutes
            options.append('model.refinement_head.patch_size=64')
        if initial is not None:
            options.append(f'load_from={initial}')
        options = [option for option in self.options(*options) if not option.startswith('val_')]
        options += ['val_cfg=None', 'val_dataloader=None', 'val_evaluator=None']
        launcher = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
        command = [*(launcher if processes > 1 else []), 'tools/train.py', self.config(name), '--work-dir', work]
        command += ['--seed', '7', *(['--launcher', 'pytorch'] if processes > 1 else [])]
        if self.checkpoints is not None:
            command += ['--resume', self.checkpoints / 'train' / case / f'iter_{max(1, steps // 2)}.pth']
        self.run(*command, *options)
        scalars = sorted(work.glob('*/vis_data/scalars.json'))[-1].read_text(encoding='utf-8').splitlines()
        steps_seen = [json.loads(line) for line in scalars]
        losses = [{key: repr(value) for key, value in s.items() if key not in LOGGED_TIMES} for s in steps_seen]
        self.keep(f'losses {case}', losses)
        self.keep(f'weights {case}', digest_weights(final))
        return final

    def test(self, case: str, name: str, checkpoint: Path, *more: str) -> None:
        """Digest of a results file."""
        if f'results {case}' in self.record:
            return
        results = self.out / 'results' / f'{case}.json'
        results.parent.mkdir(exist_ok=True)
        work = self.out / 'test' / case
        options = self.options(*more)
        self.run(
            'tools/test.py', self.config(name), checkpoint, '--work-dir', work, '--out', results, *options
        )  # fmt: skip
        self.keep(f'results {case}', hashlib.sha256(results.read_bytes()).hexdigest())

    def untrained(self, name: str, *options: str) -> Path:
        path = self.out / 'untrained' / f'{name}.pth'
        path.parent.mkdir(exist_ok=True)
        if f'weights untrained {name}' in self.record:
            return path
        data = [f'test_dataloader.dataset.data_root={self.data}', *options]
        self.run('-c', UNTRAINED, self.config(name), path, *data)
        self.keep(f'weights untrained {name}', digest_weights(path))
        return path

    def run_all(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.run('tools/make_synthetic.py', self.data, '--videos=24', '--val-videos=6', '--frames=20', '--seed=7',
                 '--no-report', '--overwrite')  # fmt: skip
        trained = {'maskprop': self.train('maskprop')}
        self.train('maskprop', processes=2)
        for name in ('stsn', 'masktrack', 'objprop', 'refined'):
            initial = trained['maskprop'] if name in ('objprop', 'refined') else None
            trained[name] = self.train(name, initial=initial)
        for case, name in TESTS.items():
            checkpoint = trained[name]
            if self.checkpoints is not None:
                checkpoint = self.checkpoints / 'train' / f'{name}_1' / checkpoint.name
            # thirty steps leave scores low
            self.test(case, case, checkpoint, 'model.detector.test_cfg.rcnn.score_thr=0.02')
        self.test(
            'untrained', 'maskprop', self.untrained('maskprop'), 'model.detector.test_cfg.rcnn.score_thr=0.0'
        )
        for name in FULL_SIZE:
            self._full_size(name)

    def _full_size(self, name: str) -> None:
        options = [
            'test_dataloader.dataset.ann_file=annotations/val.json', 'test_evaluator.format_only=False',
            'test_dataloader.dataset.data_prefix.img_path=JPEGImages', 'test_dataloader.dataset.frame_stride=5',
            'test_dataloader.dataset.pipeline.0.transforms.1.scale=(320,192)', 'test_evaluator.frame_stride=5',
            'model.detector.test_cfg.rcnn.score_thr=0.0', 'model.detector.test_cfg.rcnn.max_per_img=4',
            'model.detector.test_cfg.rpn.max_per_img=50',
        ]  # fmt: skip
        sources = [options[0], 'model.detector.init_cfg=None']
        if name == 'htc_r50':  # full patches take half a minute a frame
            options.append('model.refinement_head.patch_size=64')
        self.test(f'untrained {name}', name, self.untrained(name, *sources), *options)
        if name != 'objprop_legacy':
            self.train(name, steps=3)


def digest_weights(path: Path) -> str:
    """Of every tensor of a checkpoint's state dict, with its name."""
    state = torch.load(path, map_location='cpu', weights_only=False)['state_dict']
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(name.encode())
        found.update(state[name].contiguous().numpy().tobytes())
    return found.hexdigest()


def compare(folders: list[Path]) -> int:
    """Print what differs from the first record. Losses of a resumed training are those of its second half."""
    first, *others = [json.loads((folder / 'record.json').read_text(encoding='utf-8')) for folder in folders]
    faults = 0
    for folder, other in zip(folders[1:], others, strict=True):
        equal = 0
        for key in sorted(first.keys() | other.keys()):
            a, b = first.get(key), other.get(key)
            if key.startswith('losses') and a and b and len(b) < len(a):
                a = a[-len(b) :]
            equal += a == b
            if a != b:
                print(f'{folder}: {key} differs')
                faults += 1
        print(f'{folder}: {equal} entries equal those of {folders[0]}')
    return min(faults, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path, nargs='?', help='folder of the record')
    parser.add_argument('--root', type=Path, default=HERE, help='the checkout whose tools are run')
    parser.add_argument('--checkpoints', type=Path, help='a record whose checkpoints are taken')
    parser.add_argument('--compare', type=Path, nargs='+', metavar='RECORD')
    args = parser.parse_args()
    if args.compare:
        raise SystemExit(compare(args.compare))
    if args.out is None:
        parser.error('name the folder of the record, or --compare two')
    checkpoints = None if args.checkpoints is None else args.checkpoints.resolve()
    Recorder(args.out, args.root, checkpoints).run_all()


if __name__ == '__main__':
    main()
