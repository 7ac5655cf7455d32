"""Test a model on the test set of its config: video AP, results file, submission and pictures.

    python tools/test.py configs/maskprop/CONFIG.py work_dirs/CONFIG/epoch_20.pth
    python tools/test.py CONFIG.py CHECKPOINT.pth --out results.json --metrics metrics.json --show-dir shown
    python tools/test.py CONFIG.py CHECKPOINT.pth --submission results.zip   # results as a zip
    bash tools/dist_test.sh CONFIG.py CHECKPOINT.pth 8                       # whole videos over 8 processes

A test set without annotations gives results but no metrics.
"""

from __future__ import annotations

from maskprop.engine import cli


def main() -> None:
    cli.run(cli.test, cli.test_parser(__doc__).parse_args)


if __name__ == '__main__':
    main()
