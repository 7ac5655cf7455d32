"""Begin a training from a COCO Mask R-CNN, Cascade Mask R-CNN or HTC of mmdet 2.x or 3.x.

    python tools/model_converters/mmdet_coco.py IN.pth OUT.pth --config CONFIG.py
    maskprop train CONFIG.py --cfg-options load_from=OUT.pth model.detector.init_cfg=None

What doesn't fit the config's model (classes, as a rule) is left out and listed. See docs/checkpoints.md.
"""

from __future__ import annotations

from maskprop.conversion.initialisation import main
from maskprop.conversion.mmdet_coco import convert_state_dict

if __name__ == '__main__':
    main(__doc__, convert_state_dict)
