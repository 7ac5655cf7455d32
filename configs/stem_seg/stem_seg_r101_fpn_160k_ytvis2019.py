"""STEm-Seg, ResNet-101-FPN, YouTube-VIS 2019: the config that its authors published (34.6 mAP).

Run:  maskprop train configs/stem_seg/stem_seg_r101_fpn_160k_ytvis2019.py
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

All else as configs/stem_seg/stem_seg_r50_fpn_160k_ytvis2019.py. A published checkpoint is converted by
tools/model_converters/stem_seg_reference.py (docs/checkpoints.md).
"""

_base_ = './stem_seg_r50_fpn_160k_ytvis2019.py'

pretrained = 'https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r101_caffe_fpn_mstrain-poly_3x_coco/mask_rcnn_r101_caffe_fpn_mstrain-poly_3x_coco_20210526_132339-3c33ce02.pth'  # noqa: E501
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint=pretrained)), neck=dict(init_cfg=dict(checkpoint=pretrained))
)
