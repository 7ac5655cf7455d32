"""Fuzz all readers, or some: counts by target and verdict.

    python -m tests.fuzz --mutants 3000 --seed 0
    python -m tests.fuzz annotations results --mutants 500

Exit status 1 with a bare traceback, a hang or a silent wrong acceptance among the verdicts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.engine.tiny_config import quick_runs
from tests.fuzz.engine import fuzz
from tests.fuzz.targets import TARGETS
from tests.fuzz.verdicts import ACCEPTED, BAD, REFUSED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('targets', nargs='*', metavar='TARGET', help=f'of {", ".join(TARGETS)} (default: all)')
    parser.add_argument('--mutants', type=int, default=3000, help='in all (default: 3000)')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    chosen = args.targets or list(TARGETS)
    share = sum(TARGETS[name][1] for name in chosen)
    order = (ACCEPTED, REFUSED, *BAD)
    print('| target | ' + ' | '.join(order) + ' |\n|---' * 1 + '|---' * len(order) + '|', flush=True)
    total, words = Counter(), []
    with quick_runs(), tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            counts, bad = fuzz(
                name, Path(folder), max(1, round(args.mutants * TARGETS[name][1] / share)), args.seed
            )
            print(f'| {name} | ' + ' | '.join(str(counts[v]) for v in order) + ' |', flush=True)
            total += counts
            words += bad
    print('| all | ' + ' | '.join(str(total[v]) for v in order) + ' |')
    for line in dict.fromkeys(words):
        print(line, file=sys.stderr)
    return 1 if words else 0


if __name__ == '__main__':
    sys.exit(main())
