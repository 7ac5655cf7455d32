"""Compute the reference numbers of a published code again and compare every output array.

    maskprop verify-goldens objprop DIR
    maskprop verify-goldens sipmask DIR

DIR is a case's folder (case.npz and, where there is one, state.npz), a folder of such, or has pairs case_NAME.npz
and case_NAME_state.npz. Weights go through the checkpoint converter where they are under the reference's names.
Prints the largest difference of each array, and exits 1 if one is beyond its tolerance or missing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskprop.conversion.goldens import methods


def verify_all(args: argparse.Namespace) -> None:
    """Print the table of each case; raises GoldenError where an array differs."""
    if not args.dir.exists():
        raise FileNotFoundError(f'{args.dir}: no such folder or file')
    from maskprop.conversion.golden_arrays import GoldenError
    from maskprop.conversion.golden_cases import as_table, find_cases, verify

    failures = 0
    for files in find_cases(args.dir):
        report = verify(args.method, files)
        print(f'{files.case}: largest difference of {len(report.rows)} arrays\n{as_table(report)}')
        failures += sum(not row.close for row in report.rows)
    if failures:
        raise GoldenError(f'{failures} arrays differ by more than their tolerance')
    print('all within their tolerance')


def main() -> None:
    """Do ``maskprop verify-goldens``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('method', choices=methods(), help='whose numbers they are')
    parser.add_argument('dir', type=Path, help='folder of one case or of several')
    verify_all(parser.parse_args())
