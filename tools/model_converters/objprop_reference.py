"""Turn a checkpoint of the reference ObjProp or MaskTrack R-CNN into one of this project.

    python tools/model_converters/objprop_reference.py IN.pth OUT.pth
    python tools/model_converters/objprop_reference.py HEADS.npz OUT.pth --partial

Load it with configs/objprop/objprop_r50_fpn_legacy.py; see docs/checkpoints.md.
"""

from __future__ import annotations

import argparse

from maskprop.conversion.objprop_reference import convert_file
from maskprop.engine.cli import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='IN', help='checkpoint in the layout of mmdet 0.x or 1.x, .pth or .npz')
    parser.add_argument('out', metavar='OUT', help='what is written, .pth')
    parser.add_argument('--partial', action='store_true', help='convert what there is, and name what is absent')
    run(lambda args: print(convert_file(args.source, args.out, args.partial)), parser.parse_args)


if __name__ == '__main__':
    main()
