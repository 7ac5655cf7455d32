"""How long jobs take: from those that were done before, else from what was measured on two CPU cores."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from maskprop.ablation.jobs import LEVELS, Job
from maskprop.utils.files import write_json
from maskprop.utils.json_values import is_finite_number, parse_json

# seconds a unit, with two cores: a video made, an optimizer step on two processes, a tested frame and row, a row
DEFAULTS = dict(set=0.11, detector=0.44, pretraining=0.25, heads=0.25, test=0.02, table=1.0)


class Timings:
    """Seconds a unit of each kind of job, kept in a file.

    Args:
        path: of the file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def _measured(self) -> dict[str, float]:
        with contextlib.suppress(FileNotFoundError, ValueError), self.path.open(encoding='utf-8') as file:
            found = parse_json(file)
            if isinstance(found, dict):
                return {rate: seconds for rate, seconds in found.items() if is_finite_number(seconds)}
        return {}

    def add(self, job: Job, seconds: float) -> None:
        """Note what a whole job took."""
        write_json(self.path, {**self._measured(), job.rate: seconds / (job.units or 1)})

    def estimate(self, job: Job) -> tuple[float | None, bool]:
        """Seconds that a job will take, None if not known; whether that rests on a job of this kind."""
        measured = self._measured().get(job.rate)
        if measured is None:
            return None if job.units is None else job.units * DEFAULTS[job.level], False
        return measured * (job.units or 1), True

    def total(self, jobs: Iterable[Job]) -> float:
        """Seconds of jobs one after the other; those that are not known count as none."""
        return sum(self.estimate(job)[0] or 0.0 for job in jobs)


def format_plan(jobs: list[Job], timings: Timings, parallel: int = 1) -> str:
    """The jobs with what is known of them, and the time of those that are to be done."""
    lines, todo, guessed = [], [], False
    for number, job in enumerate(jobs):
        if job.is_done():
            state = 'done'
        else:
            seconds, measured = timings.estimate(job)
            todo.append(job)
            guessed |= seconds is not None and not measured
            state = ('time not known' if seconds is None else format_seconds(seconds)) + ('' if measured else ' *')
        lines.append(f'{number:4d}  {job.level:8s}  {job.name:60s}  {state}')
    level_times = []
    for level in LEVELS:
        of_level = [job for job in todo if job.level == level]
        if of_level:
            slots = min(parallel, len(of_level))
            level_times.append(timings.total(of_level) / slots)
    lines.append(f'{len(todo)} of {len(jobs)} jobs to do, about {format_seconds(sum(level_times))}')
    if guessed:
        lines.append('* by what the demo takes on two CPU cores; nothing of this kind has been timed here yet')
    return '\n'.join(lines)


def format_seconds(seconds: float) -> str:
    """'40 s', '12 min', '3 h 20 min'."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 90 else f'{minutes // 60} h {minutes % 60} min'
