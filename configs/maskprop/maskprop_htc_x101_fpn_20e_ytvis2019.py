"""MaskProp, HTC with ResNeXt-101-64x4d-FPN, YouTube-VIS 2019 (Table 4: 44.3 mAP, 48.3 AP75).

Run:  maskprop train configs/maskprop/maskprop_htc_x101_fpn_20e_ytvis2019.py --auto-scale-lr
      bash tools/dist_train.sh configs/maskprop/maskprop_htc_x101_fpn_20e_ytvis2019.py 8 --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

The rest is as with ResNet-50.
"""

_base_ = './maskprop_htc_r50_fpn_20e_ytvis2019.py'

from mmengine.hub import get_config

coco = get_config('mmdet::htc/htc_x101-64x4d_fpn_16xb1-20e_coco.py', pretrained=True)
coco.model.backbone.init_cfg = None
model = dict(detector=dict(backbone=coco.model.backbone, init_cfg=dict(checkpoint=coco.model_path)))
del coco
