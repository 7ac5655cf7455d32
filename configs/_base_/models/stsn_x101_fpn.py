"""STSN on a deformable ResNeXt-101-64x4d: keys of a ``VideoMaskRCNN`` on HTC, for ``model = _base_.stsn``.

Backbone and initial weights are those of mmdet's HTC with deformable convolutions in its last three stages. Widths
are the STSN paper's (Section 4.1). Its features have 1024 channels: a 1x1 convolution (``bottleneck``) brings the
2048 here to as many before offsets are predicted. Choices and their cost: docs/models.md.
"""

_base_ = []

from mmengine.hub import get_config

coco = get_config('mmdet::htc/htc_x101-64x4d-dconv-c3-c5_fpn_ms-400-1400-16xb1-20e_coco.py', pretrained=True)
coco.model.backbone.init_cfg = None
stsn = dict(
    detector=dict(backbone=coco.model.backbone, init_cfg=dict(checkpoint=coco.model_path)),
    aggregator=dict(
        type='SpatiotemporalSampler',
        levels=(3,),  # C5
        in_channels=(2048,),
        num_layers=4,
        channels=1024,
        bottleneck=1024,
        embed_channels=(512, 512, 2048),
        # STSN's 13 frames of 25 to 30 a second are half a second: 3 of YouTube-VIS's 6 a second
        window=3,
        num_support=2,  # in training one frame before and one after
    ),
)
del coco
