"""MaskProp on Hybrid Task Cascade with ResNet-50-FPN: detector, propagation branch and refinement of Section 4.4.

The detector is mmdet's HTC with the paper's loss weights (1, .5, .25 for the stages, .1 for the semantic branch,
whose target is made from the instance masks). ``num_classes`` is the data set's.
"""

_base_ = []

from mmengine.hub import get_config

detector = get_config('mmdet::htc/htc_r50_fpn_1x_coco.py').model
detector.pop('data_preprocessor')
detector.roi_head.stage_loss_weights = [1, 0.5, 0.25]
for head in [*detector.roi_head.bbox_head, *detector.roi_head.mask_head]:
    head.num_classes = None
detector.roi_head.semantic_head.num_classes = None
detector.roi_head.semantic_head.loss_seg.loss_weight = 0.1
# at test: 1000 proposals, boxes with a score above .1
detector.test_cfg.rpn.update(nms_pre=1000, max_per_img=1000)
detector.test_cfg.rcnn.update(score_thr=0.1)
# the whole detector starts from COCO; classes that don't fit start from scratch
detector.backbone.init_cfg = None
detector.init_cfg = dict(
    type='Pretrained',
    checkpoint='https://download.openmmlab.com/mmdetection/v2.0/htc/htc_r50_fpn_20e_coco/'
    'htc_r50_fpn_20e_coco_20200319-fe28c577.pth',
)

model = dict(
    type='VideoMaskRCNN',
    data_preprocessor=dict(
        type='TrackDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    detector=detector,
    propagation_head=dict(
        type='MaskPropagationHead',
        in_channels=256,
        channels=256,
        offset_channels=128,
        kernel_size=3,
        dilations=(3, 6, 12),
        feat_level=1,
        stride=8,
        normalizer='instances',
        match_channels=None,
        loss=dict(type='SoftIoULoss', loss_weight=1.0),
        mask_source='predicted',
    ),
    refinement_head=dict(type='MaskRefinementHead', patch_size=384, context=1.5, channels=128, num_blocks=3),
    detect_on='key',
    clip_radius=6,
    # the paper names no threshold; not tuned on YouTube-VIS: how, docs/methods/maskprop.md
    linker=dict(type='ClipLinker', threshold=0.1),
    score_rule='with_category',
    fill=False,
)
del detector, head
