"""Doing jobs: each once, in order, several at a time if wanted, going on after a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from maskprop.ablation.jobs import TRAININGS, Job, read_record
from maskprop.ablation.settings import differences
from maskprop.ablation.timings import Timings, format_seconds
from maskprop.utils.errors import UserError
from maskprop.utils.folder_lock import hold_folder

Runner = Callable[[Job], None]


class JobFailed(UserError, RuntimeError):
    """A job ended with an error; the message says which and where its output is."""


def run_job(job: Job, runner: Runner, timings: Timings, say: Callable[[str], None] = print) -> bool:
    """Do one job here, unless it is done; waits for another process that is at it.

    Args:
        runner: makes the output; called again after a kill it must go on or begin anew.

    Returns:
        whether there was something to do.

    Raises:
        JobFailed: a job that it needs is not done, or an output was not made.
    """
    missing = [need.name for need in job.needs if not need.is_done()]
    if missing:
        raise JobFailed(f'{job.name} needs {", ".join(missing)}: do that first')
    if job.is_done():
        return False
    with hold_folder(job.folder, say) as spent:
        if job.is_done():  # by the process that was waited for
            return False
        record = job.record()
        if job.fits(record) and not record['done']:
            spent += record['seconds']
        else:
            for reason in _reasons(job):
                say(f'{job.name}: made again, {reason}')
            _forget_training(job)
        needs = job.need_runs()
        job.write_record(spent, done=False, needs=needs)  # a kill leaves no record of what it has overwritten
        start = time.monotonic()
        try:
            runner(job)
            if lacking := [str(path) for path in job.outputs() if not path.is_file()]:
                raise JobFailed(f'{job.name}: it ended without an error, but did not write {", ".join(lacking)}')
        except BaseException:
            job.write_record(spent + time.monotonic() - start, done=False, needs=needs)
            raise
        seconds = time.monotonic() - start
        job.write_record(spent + seconds, done=True, needs=needs)
        timings.add(job, spent + seconds)
    return True


def _forget_training(job: Job) -> None:
    """Remove checkpoints that a training would go on from, or write through if they are links to a demo's."""
    if job.level in TRAININGS:
        for file in (job.folder / 'last_checkpoint', *job.folder.glob('*.pth')):
            file.unlink(missing_ok=True)


def _reasons(job: Job) -> list[str]:
    """Why what was made under the job's name doesn't count."""
    record = job.record()
    if record and record['key'] == job.key:
        before, now = record.get('needs') or {}, job.need_runs()
        changed = [name for name in now if before.get(name) != now[name]]
        return [f'{", ".join(changed)} was made again' if changed else 'some of its output is gone']
    return [
        f'{name} has other settings: ' + '; '.join(differences(settings, job.settings)[:5])
        for name, settings in _others(job)
    ]


def _others(job: Job) -> list[tuple[str, dict]]:
    """Name and settings of what was made under the job's name with other settings."""
    record = job.record()
    if record:
        return [('the one that is there', record['settings'])]
    if job.level not in TRAININGS:
        return []
    # these have their settings in the name of their folder: detectors/NAME_KEY/SEED
    family = job.folder.parent.name.rpartition('_')[0]
    files = sorted(job.folder.parents[1].glob(f'{family}_??????/{job.folder.name}/job.json'))
    records = [(file, read_record(file)) for file in files]
    return [
        (f'{file.parents[1].name}/{file.parent.name}', record['settings']) for file, record in records if record
    ]


def run_jobs(
    jobs: Sequence[Job],
    launch: Callable[[Job, int], None],
    timings: Timings,
    parallel: int = 1,
    say: Callable[[str], None] = print,
) -> None:
    """Do all jobs that are not done, a job as soon as those that it needs are.

    Args:
        jobs: in an order in which they can be done.
        launch: does a job by :func:`run_job`, in a process of its own or not; gets the job and its slot, from 0.
        parallel: so many at a time.

    Raises:
        JobFailed: a job failed; those that were running are waited for, no others are begun.
    """
    open_jobs = [job for job in jobs if not job.is_done()]
    total = len(open_jobs)
    running: dict[Future, tuple[Job, int]] = {}
    with ThreadPoolExecutor(max_workers=parallel) as pool:
        while open_jobs or running:
            busy = [id(job) for job, _ in running.values()]
            blocked = {*map(id, open_jobs), *busy}
            ready = [job for job in open_jobs if not any(id(need) in blocked for need in job.needs)]
            for job in ready[: parallel - len(running)]:
                slot = min(set(range(parallel)) - {slot for _, slot in running.values()})
                open_jobs.remove(job)
                expected, _ = timings.estimate(job)
                about = '' if expected is None else f', about {format_seconds(expected)}'
                say(
                    f'{job.name}: begins{about}'
                    + f'; its output: {job.folder / "job.log"}' * (job.level in TRAININGS)
                )
                running[pool.submit(launch, job, slot)] = job, slot
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                job, _ = running.pop(future)
                error = future.exception()
                if error is not None:
                    raise error
                left = timings.total([*open_jobs, *(j for j, _ in running.values())]) / parallel
                done = total - len(open_jobs) - len(running)
                took = format_seconds(job.record().get('seconds', 0.0))  # as the table and the estimates count it
                say(f'[{done}/{total}] {job.name}: done, {took} of work; about {format_seconds(left)} left')
