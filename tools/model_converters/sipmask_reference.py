"""Turn a checkpoint of the published SipMask or SipMask-VIS (mmdet 1.0) into one of this project.

    python tools/model_converters/sipmask_reference.py VIS.pth OUT.pth
    python tools/model_converters/sipmask_reference.py COCO.pth OUT.pth --config CONFIG.py

Without --config the whole checkpoint is converted, to test it; the keys of a config that fit it are printed.
With it, what doesn't fit the config's model (deeper layers, classes) is left out and listed, to begin a training
by load_from. See docs/checkpoints.md.
"""

from __future__ import annotations

from maskprop.conversion.initialisation import main
from maskprop.conversion.sipmask_reference import convert_file, convert_state_dict

if __name__ == '__main__':
    main(__doc__, convert_state_dict, convert_file)
