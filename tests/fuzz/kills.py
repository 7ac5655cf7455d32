"""Kill tools at random moments, run them again, and compare with a run that nobody disturbed.

    python -m tests.fuzz.kills synthetic split training test study --kills 30

Each kill is a SIGKILL of the process and its children: in turn right before a random one of the changes of files
that the run makes, and after a random part of its CPU time. A run that ends before its kill doesn't count. After
each kill, no output is a mixture of two runs, and none is cut. At the end, and whenever a run has ended before
its kill, the files are compared byte by byte with those of an undisturbed run, which is a process as users start
it; of a training, the weights. The runs that are killed are forks, see ``forks.py``.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import maskprop

maskprop.register_all()

from tests.fuzz.forks import ROOT, apart, run  # noqa: E402
from tests.fuzz.kill_cases import CASES, Case  # noqa: E402


def undisturbed(case: Case, folder: Path, number: int) -> object:
    """What a run makes in a new folder, as a user would start it."""
    folder.mkdir()
    apart(lambda: case.prepare(folder))
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
    subprocess.run([sys.executable, *case.command(folder, number)], cwd=ROOT, env=env, check=True)
    return apart(lambda: case.result(folder))


def kill(case: Case, folder: Path, kills: int, rng: random.Random) -> Counter:
    """Counts of what was seen.

    Raises:
        AssertionError: what a kill left is damaged, or what came out in the end is not what a calm run makes.
    """
    wanted = [undisturbed(case, folder / f'calm{number}', number) for number in range(case.runs)]
    killed, log = folder / 'killed', folder / 'log'
    counts, place = Counter(), 0

    def begin() -> None:
        shutil.rmtree(killed, ignore_errors=True)
        killed.mkdir()
        apart(lambda: case.prepare(killed))

    def compare() -> None:
        apart(lambda: case.check(killed, wanted))
        assert apart(lambda: case.result(killed)) == wanted[place], f'{killed}: not as without kills'
        counts['compared'] += 1

    begin()
    whole = run(case.command(killed, place), log)
    compare()
    if case.anew:
        begin()
    while counts['kills'] < kills:
        place, by_time = (place + 1) % case.runs, counts['kills'] % 2
        at_change, at_cpu = rng.randint(1, whole.changes), rng.uniform(0.0, whole.cpu)
        moment = dict(at_cpu=at_cpu) if by_time else dict(at_change=at_change)
        ended = run(case.command(killed, place), log, **moment)
        if ended.killed:
            counts['kills'] += 1
            counts['at a time' if by_time else 'at a change'] += 1
            apart(lambda: case.check(killed, wanted))
            continue
        counts['ended before'] += 1
        compare()
        if case.anew:
            begin()
    run(case.command(killed, place), log)
    compare()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('cases', nargs='*', metavar='CASE', help=f'of {", ".join(CASES)} (default: all)')
    parser.add_argument('--kills', type=int, default=30)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    for name in args.cases or list(CASES):
        folder = Path(tempfile.mkdtemp())
        counts = kill(CASES[name](), folder, args.kills, random.Random(args.seed))
        shutil.rmtree(folder)
        said = [f'{counts["kills"]} kills', f'{counts["at a change"]} at a change of files']
        said += [f'{counts["at a time"]} at a time', f'{counts["ended before"]} runs ended before theirs']
        print(f'{name}: {", ".join(said)}, {counts["compared"]} comparisons, all equal', flush=True)


if __name__ == '__main__':
    main()
