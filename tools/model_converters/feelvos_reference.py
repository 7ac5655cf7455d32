"""Turn the weights of the released FEELVOS (TensorFlow), saved as .npz, into those of a head of this project.

    python tools/model_converters/feelvos_reference.py IN.npz OUT.pth

IN.npz has one array for each variable of the checkpoint, by its name (docs/checkpoints.md). OUT.pth is for
load_from.
"""

from __future__ import annotations

import argparse

from maskprop.conversion.feelvos_reference import convert_file
from maskprop.engine.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'source', metavar='IN', help='arrays by the names of the TensorFlow checkpoint, .npz or .pth'
    )
    parser.add_argument('out', metavar='OUT', help='what is written, .pth')
    parser.add_argument(
        '--head', default='propagation_head', help="the head's key in the config; default: %(default)s"
    )
    run(lambda args: print(convert_file(args.source, args.out, args.head)), parser.parse_args)


if __name__ == '__main__':
    main()
