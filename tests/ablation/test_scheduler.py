"""Jobs are done once, in order, go on after a kill, and are done anew if their settings change."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from maskprop.ablation.jobs import LEVELS, Job
from maskprop.ablation.scheduler import JobFailed, run_job, run_jobs
from maskprop.ablation.timings import Timings, format_plan, format_seconds
from tests.ablation.tiny_study import make_outputs, plan_study, write_study

BASE = str(Path(__file__).parents[2] / 'configs/demo/maskprop_tiny_synthetic.py')


class Bench:
    """Runs the jobs of a study with stand-ins and notes which."""

    def __init__(self, folder: Path, runner=make_outputs) -> None:
        self.folder, self.runner = folder, runner
        self.done: list[str] = []
        self.said: list[str] = []
        self.timings = Timings(folder / 'timings.json')

    def launch(self, job: Job, slot: int = 0) -> None:
        def run(job: Job) -> None:
            self.done.append(job.name)
            self.runner(job)

        run_job(job, run, self.timings, self.said.append)

    def run(self, parallel: int = 1, jobs: list[Job] | None = None, **study) -> list[str]:
        """Names of the jobs that were done."""
        self.done = []
        if jobs is None:
            jobs = plan_study(write_study(self.folder, BASE, **study), self.folder / 'out')
        run_jobs(jobs, self.launch, self.timings, parallel, self.said.append)
        return self.done


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def test_jobs_are_done_in_order_and_shared(bench):
    done = bench.run()
    levels = [name.split('/')[0] for name in done]
    assert levels == ['data'] * 2 + ['detectors'] * 2 + ['heads'] * 4 + ['tiny'] * 7
    # plain and filled share a model, short and shorter share a training and a model
    tests = [name for name in done if 'results' in name]
    assert sorted(tests) == [f'tiny/results/{seed}/{row}' for seed in (1, 2) for row in ('plain', 'short', 'true')]
    assert done[-1] == 'tiny'
    assert bench.run() == []  # all is there


@pytest.mark.parametrize('parallel', [1, 3])
def test_no_job_begins_before_what_it_needs(bench, parallel):
    file = write_study(bench.folder, BASE)
    jobs = plan_study(file, bench.folder / 'out')
    running, most, lock = set(), [0], threading.Lock()

    def runner(job: Job) -> None:
        assert all(need.is_done() for need in job.needs)
        with lock:
            running.add(job.name)
            most[0] = max(most[0], len(running))
        threading.Event().wait(0.01)
        with lock:
            running.remove(job.name)
        make_outputs(job)

    bench.runner = runner
    assert len(bench.run(parallel, jobs)) == len(jobs)
    assert 1 <= most[0] <= parallel
    assert parallel == 1 or most[0] > 1


def test_a_killed_run_goes_on_where_it_was(bench):
    def die(job: Job) -> None:
        if job.name.startswith('heads/true') and job.name.endswith('/2'):
            raise KeyboardInterrupt
        make_outputs(job)

    bench.runner = die
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    before = set(bench.done)
    bench.runner = make_outputs
    after = bench.run()
    assert [name for name in after if name in before] == [after[0]]  # the one that died, no other
    assert after[0].startswith('heads/true')


def test_time_of_all_tries_is_kept(bench, monkeypatch):
    clock = iter([0, 100, 100, 130])
    monkeypatch.setattr('maskprop.ablation.scheduler.time.monotonic', lambda: next(clock))
    job = plan_study(write_study(bench.folder, BASE), bench.folder / 'out')[0]
    with pytest.raises(ZeroDivisionError):
        run_job(job, lambda job: 1 / 0, bench.timings)
    assert not job.is_done() and job.record()['seconds'] == 100
    run_job(job, make_outputs, bench.timings)
    assert job.record()['seconds'] == 130
    assert json.loads(bench.timings.path.read_text()) == {'set': 130 / 420}


def test_what_is_said_is_what_the_table_counts(bench):
    """The work of all tries, as the record has it, not how long the process ran."""
    jobs = plan_study(write_study(bench.folder, BASE), bench.folder / 'out')[:1]

    def launch(job: Job, slot: int) -> None:
        bench.launch(job)
        job.write_record(1234.0, done=True)

    run_jobs(jobs, launch, bench.timings, 1, bench.said.append)
    assert f'[1/1] {jobs[0].name}: done, 21 min of work; ' in bench.said[-1]


def test_a_failed_job_ends_the_run_and_is_named(bench):
    def fail(job: Job) -> None:
        if job.level == 'detector':
            raise JobFailed(f'{job.name} failed')
        make_outputs(job)

    bench.runner = fail
    with pytest.raises(JobFailed, match='detectors/maskprop_tiny_synthetic_.*/1 failed'):
        bench.run()
    assert not any('heads' in name for name in bench.done)


def test_a_job_without_its_output_has_failed(bench):
    bench.runner = lambda job: make_outputs(job) if job.level == 'set' else None
    with pytest.raises(JobFailed, match=r'^detectors/.* did not write .*epoch_\d+\.pth'):
        bench.run()
    bench.runner = make_outputs
    assert bench.run()[0].startswith('detectors')


def test_other_settings_are_done_anew_and_said(bench):
    bench.run()
    rows = [dict(name='plain', variant=dict(fill=True))]  # a test's
    done = bench.run(rows=rows)
    assert done == ['tiny/results/1/plain', 'tiny/results/2/plain', 'tiny']
    assert any('made again' in line and 'rows.plain.fill: false before, now true' in line for line in bench.said)

    bench.said.clear()
    options = {'model.propagation_head.mask_source': 'ground_truth', 'train_cfg.max_epochs': 3}  # a training's
    done = bench.run(rows=[dict(name='true', train=dict(name='true_masks', options=options))])
    assert [name.split('_')[0] for name in done[:2]] == ['heads/true', 'heads/true'] and len(done) == 5
    assert any('train_cfg.max_epochs: 8 before, now 3' in line for line in bench.said)


def test_linker_of_the_config_retrains_nothing(bench):
    rows = [dict(name='plain', train=dict(name='heads'))]
    bench.run(rows=rows)
    base = bench.folder / 'base.py'
    base.write_text(f'_base_ = [{BASE!r}]\nmodel = dict(linker=dict(threshold=0.5), fill=False)\n')
    file = write_study(bench.folder, BASE, rows=rows)
    file.write_text(file.read_text().replace(f'_base_ = [{BASE!r}]', f'_base_ = [{str(base)!r}]'))
    done = bench.run(jobs=plan_study(file, bench.folder / 'out'))
    assert done == ['tiny/results/1/plain', 'tiny/results/2/plain', 'tiny']


def test_missing_output_is_made_again(bench):
    bench.run()
    (bench.folder / 'out/tiny/results/1/plain/filled.json').unlink()
    assert bench.run() == ['tiny/results/1/plain', 'tiny']
    assert any('tiny/results/1/plain was made again' in line for line in bench.said)
    assert bench.run() == []


def test_what_rests_on_a_job_is_done_anew_with_it(bench):
    bench.run()
    jobs = plan_study(bench.folder / 'tiny.py', bench.folder / 'out')
    detector, heads = (
        next(j for j in jobs if j.level == level and j.folder.name == '1') for level in ('detector', 'heads')
    )
    (heads.folder / 'last_checkpoint').write_text('that a training would resume from')
    shutil.rmtree(detector.folder)
    seen = []

    def runner(job: Job) -> None:
        seen.append((job.folder / 'last_checkpoint').exists() or any(job.folder.glob('*.pth')))
        make_outputs(job)

    bench.runner = runner
    done = bench.run(jobs=jobs)
    assert [name.split('/')[0] for name in done] == ['detectors'] + ['heads'] * 2 + ['tiny'] * 4
    assert all(name.endswith('/1') or '/results/1/' in name or name == 'tiny' for name in done)
    assert not any(seen)
    assert bench.run() == []


def test_a_set_that_is_made_again_as_it_was_retrains_nothing(bench):
    bench.run()
    shutil.rmtree(bench.folder / 'out/data/1')
    assert 'data/1' in bench.run() and bench.done == ['data/1']
    shutil.rmtree(bench.folder / 'out/data/1')
    bench.runner = lambda job: make_outputs(job, 'another set')
    assert len(bench.run()) == 8  # it, a detector, two heads, three tests, the table


def test_a_killed_training_goes_on_and_leaves_no_record_of_what_it_overwrote(bench):
    """SIGKILL: nothing runs after it, so that the record of before must not stand while a job runs."""
    jobs = plan_study(write_study(bench.folder, BASE), bench.folder / 'out')
    bench.run(jobs=jobs)
    heads = next(job for job in jobs if job.level == 'heads')
    done = heads.record()
    heads.settings = {**heads.settings, 'config': 'other'}
    records = []

    def runner(job: Job) -> None:
        records.append(job.record())
        (job.folder / 'last_checkpoint').write_text('kept')
        make_outputs(job)

    run_job(heads, runner, bench.timings)
    (record,) = records
    assert not record['done'] and record['key'] == heads.key != done['key'] and record['run'] is None
    (heads.folder / 'job.json').write_text(json.dumps(record))  # as a kill leaves it
    assert not heads.is_done()
    run_job(heads, lambda job: records.append((job.folder / 'last_checkpoint').exists()), bench.timings)
    assert records[1] is True
    assert heads.record()['run'] not in (None, done['run']) and heads.record()['revision']


def test_a_job_alone_needs_what_it_needs(bench):
    jobs = plan_study(write_study(bench.folder, BASE), bench.folder / 'out')
    with pytest.raises(JobFailed, match='needs data/1: do that first'):
        run_job(jobs[2], make_outputs, bench.timings)


@pytest.mark.slow
def test_two_arrays_do_no_job_twice(bench):
    """Several processes of Slurm arrays that were submitted twice; here as threads, for which locks hold too."""
    file = write_study(bench.folder, BASE)
    done, lock = [], threading.Lock()

    def runner(job: Job) -> None:
        with lock:
            done.append(job.name)
        threading.Event().wait(0.02)
        make_outputs(job)

    def array_task(number: int) -> None:
        job = plan_study(file, bench.folder / 'out')[number]
        # tasks are processes, and this file is named after the process while it is written
        timings = Timings(bench.folder / f'timings_{threading.get_ident()}.json')
        run_job(job, runner, timings, bench.said.append)

    jobs = plan_study(file, bench.folder / 'out')
    for level in LEVELS:
        numbers = [number for number, job in enumerate(jobs) if job.level == level]
        threads = [threading.Thread(target=array_task, args=(n,)) for n in [*numbers, *numbers]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(done) == sorted(job.name for job in jobs)


def test_estimates_come_from_what_was_measured(bench):
    jobs = plan_study(write_study(bench.folder, BASE), bench.folder / 'out')
    text = format_plan(jobs, bench.timings)
    detector = next(job for job in jobs if job.level == 'detector')
    assert detector.units == 8 * 165  # epochs, steps of 8 among 1320 samples
    assert '10 min *' in text and 'two CPU cores' in text and f'{len(jobs)} of {len(jobs)} jobs to do' in text
    for job in jobs:
        bench.timings.add(job, 2.0 * (job.units or 1))
    text = format_plan(jobs, bench.timings)
    assert '*' not in text and format_seconds(2.0 * detector.units) in text
    assert bench.timings.estimate(detector) == (2.0 * 1320, True)
    bench.run(jobs=jobs)
    assert 'done' in format_plan(jobs, bench.timings) and '0 of' in format_plan(jobs, bench.timings)


@pytest.mark.parametrize('seconds, text', [(40, '40 s'), (720, '12 min'), (12000, '3 h 20 min')])
def test_seconds_are_readable(seconds, text):
    assert format_seconds(seconds) == text
