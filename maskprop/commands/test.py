"""Test a model on the test set of its config: video AP, results file, submission and pictures.

    maskprop test configs/maskprop/CONFIG.py work_dirs/CONFIG/epoch_20.pth
    maskprop test CONFIG.py CHECKPOINT.pth --out results.json --metrics metrics.json --show-dir shown
    maskprop test CONFIG.py CHECKPOINT.pth --submission results.zip   # results as a zip
    bash tools/dist_test.sh CONFIG.py CHECKPOINT.pth 8                # 8 processes, each with whole videos

A test set without annotations gives results but no metrics.
"""

from __future__ import annotations

from maskprop.engine import cli


def main() -> None:
    """Do ``maskprop test``."""
    cli.test(cli.test_parser(__doc__).parse_args())
