"""A study from one command: makes the sets, trains, tests, and writes a table, a CSV and a plot.

    maskprop ablate configs/ablations/clip_length.py --dry-run        # the jobs and their time
    maskprop ablate configs/ablations/clip_length.py
    maskprop ablate configs/ablations/*.py --processes 2 --reuse-demo work_dirs/demo_full

To continue after an interruption, run the same command again: finished jobs are skipped.
On Slurm: tools/slurm_ablate.sh. All of it: docs/ablations.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from maskprop.engine.model_files import find_config_file
from maskprop.utils import numeric

if TYPE_CHECKING:
    from maskprop.ablation.jobs import Job


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop ablate``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('studies', nargs='+', metavar='STUDY', help='study files; what they share is made once')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/ablations'), help='folder of all studies')
    parser.add_argument('--seeds', type=numeric.seed, nargs='+', help="default: the study's")
    parser.add_argument(
        '--processes', type=numeric.whole(1, 256), default=1, help='of each training, under torchrun'
    )
    parser.add_argument(
        '--parallel',
        type=numeric.whole(1, 256),
        default=1,
        help='jobs at a time; with GPUs each has --processes of them',
    )
    parser.add_argument(
        '--reuse-demo', type=Path, nargs='+', default=[], metavar='DIR', help='results of maskprop demo-full'
    )
    parser.add_argument('--reuse-only', action='store_true', help='link what --reuse-demo names, do nothing else')
    parser.add_argument('--dry-run', action='store_true', help='list the jobs with their time, do nothing')
    parser.add_argument('--list-jobs', action='store_true', help='number, level, name and state of every job')
    parser.add_argument(
        '--job', metavar='N', help='do this job alone: its number or name; those it needs are done'
    )
    return parser.parse_args(arguments)


def find_job(jobs: list[Job], wanted: str) -> Job:
    """The job of a number or name."""
    from maskprop.engine.errors import ConfigError

    for number, job in enumerate(jobs):
        if wanted in (str(number), job.name):
            return job
    raise ConfigError(f'--job {wanted}: there are jobs 0 to {len(jobs) - 1}, see --list-jobs')


def launch(job: Job, slot: int, args: argparse.Namespace) -> None:
    """Do a job in a process of its own, with its output in ``job.log``."""
    from maskprop.ablation.scheduler import JobFailed
    from maskprop.utils.processes import child_environment

    command = [sys.executable, '-u', '-m', 'maskprop', 'ablate', job.details['study'].file]
    command += ['--out', str(args.out)]
    if args.seeds:
        command += ['--seeds', *map(str, args.seeds)]
    command += ['--processes', str(args.processes), '--job', job.name]
    env = {**child_environment(), 'OMP_NUM_THREADS': '1'}
    devices = gpus()
    if devices:
        first = slot * args.processes
        env['CUDA_VISIBLE_DEVICES'] = ','.join(devices[(first + i) % len(devices)] for i in range(args.processes))
    job.folder.mkdir(parents=True, exist_ok=True)
    log = job.folder / 'job.log'
    with log.open('a') as file:
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=env).returncode
    if code:
        last = log.read_text(errors='replace').splitlines()[-15:]
        raise JobFailed(f'{job.name} failed, its output is in {log}, which ends with:', *last)


def gpus() -> list[str]:
    """The GPUs that may be used."""
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is not None:
        return [name for name in visible.split(',') if name]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def is_study(path: str, given: int) -> bool:
    """Whether to read a file; of several (``configs/ablations/*.py``) those that are no studies are left out."""
    from maskprop.engine.config import read_config_file

    if given == 1 or not Path(path).is_file() or 'study' in read_config_file(path):
        return True
    print(f'{path}: no study, left out')
    return False


def check_sets(jobs: list[Job]) -> None:
    """See that the sets of studies can be made with the arguments that their files give.

    Raises:
        ConfigError: maskprop synthetic would refuse them.
    """
    from maskprop.commands import make_synthetic
    from maskprop.engine.errors import ConfigError

    for job in (job for job in jobs if job.level == 'set'):
        given = dict(synthetic=job.details['arguments'], pasted=job.details.get('pasted'))
        for key, arguments in given.items():
            said = io.StringIO()
            try:
                with contextlib.redirect_stderr(said):
                    args = make_synthetic.parse_args([str(job.folder), *(arguments or ())])
                if args.source is None:
                    make_synthetic.make_source(args)
            except (SystemExit, ValueError) as error:
                words = said.getvalue().rpartition('error: ')[2].strip() or error
                raise ConfigError(f'{job.details["study"].file}: study: {key}: {words}') from error


def ablate(args: argparse.Namespace) -> None:
    """Do what the arguments say."""
    for path in args.studies:
        find_config_file(path)
    from maskprop.ablation.checks import unused_settings
    from maskprop.ablation.job_checks import check_models, check_tests
    from maskprop.ablation.jobs import plan
    from maskprop.ablation.reuse import reuse_demos
    from maskprop.ablation.scheduler import run_job, run_jobs
    from maskprop.ablation.study import load_study
    from maskprop.ablation.timings import Timings, format_plan
    from maskprop.ablation.work import Workers
    from maskprop.utils.files import check_writable
    from maskprop.utils.processes import say

    studies = [load_study(path, args.seeds) for path in args.studies if is_study(path, len(args.studies))]
    look_only = args.dry_run or args.list_jobs
    if not look_only:
        check_writable(args.out, '--out', folder=True)
    jobs = plan(studies, args.out)
    if args.job is None and not args.list_jobs:
        for study in studies:
            if unused := unused_settings(study):
                say(
                    f'note: {study.file}: no training has the settings of this file, which differ from those of '
                    f'the detector, {study.detector}: {"; ".join(unused[:3])}. Change them in the config that '
                    'study = dict(detector=...) names'
                )
        check_sets(jobs)
        for file in check_tests(jobs, may_lack=args.dry_run or args.reuse_only):
            say(f'note: test_evaluator.ann_file: {file}: no such file; the study will need it')
        check_models(jobs)
    if args.reuse_demo:
        for line in reuse_demos(args.reuse_demo, jobs, link=not look_only):
            print(f'{"would be reused" if look_only else "reused"}: {line}')
        jobs = plan(studies, args.out)  # with what is there now
    if args.reuse_only:
        return
    timings = Timings(args.out / 'timings.json')
    if args.job is not None:
        check_tests(jobs)
        job = find_job(jobs, args.job)
        did = run_job(job, Workers(args.processes).runners()[job.level], timings)
        print(f'{job.name}: done' + ('' if did else ' before'))
        return
    if args.list_jobs:
        for number, job in enumerate(jobs):
            print(f'{number} {job.level} {job.name} {"done" if job.is_done() else "open"}')
        return
    print(format_plan(jobs, timings, args.parallel), flush=True)
    if args.dry_run:
        return
    run_jobs(jobs, lambda job, slot: launch(job, slot, args), timings, args.parallel)
    show_tables(jobs)


def show_tables(jobs: list[Job]) -> None:
    """Print the table of each study."""
    for job in jobs:
        if job.level == 'table':
            print(f'\n{(job.folder / "table.md").read_text()}\n{job.folder}: table.md, table.csv, plot.png')


def main() -> None:
    """Do ``maskprop ablate``."""
    ablate(parse_args())
