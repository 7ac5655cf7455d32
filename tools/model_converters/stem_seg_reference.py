"""Turn a checkpoint of the reference STEm-Seg into one of this project.

    python tools/model_converters/stem_seg_reference.py IN.pth OUT.pth
    python tools/model_converters/stem_seg_reference.py DECODERS.npz OUT.pth --partial

Load it with configs/stem_seg/stem_seg_r101_fpn_160k_ytvis2019.py; see docs/checkpoints.md.
"""

from __future__ import annotations

import argparse

from maskprop.conversion.stem_seg_reference import convert_file
from maskprop.engine.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='IN', help='checkpoint of the reference, .pth or .npz')
    parser.add_argument('out', metavar='OUT', help='what is written, .pth')
    parser.add_argument('--partial', action='store_true', help='backbone and FPN may be absent')
    run(lambda args: print(convert_file(args.source, args.out, args.partial)), parser.parse_args)


if __name__ == '__main__':
    main()
