"""ObjProp with the conventions of mmdet 0.x and 1.x, for converted checkpoints of the reference code.

Run:  python tools/model_converters/objprop_reference.py REFERENCE.pth CONVERTED.pth
      maskprop test configs/objprop/objprop_r50_fpn_legacy.py CONVERTED.pth
Data: docs/data.md (data/youtube_vis_2019). What is as there and what is not: docs/checkpoints.md.
"""

_base_ = '../masktrack_rcnn/masktrack_rcnn_r50_fpn_legacy.py'

model = dict(
    detector=dict(
        test_cfg=dict(
            # the reference's for ObjProp; its MaskTrack R-CNN has .05 and 10, and 200 proposals
            rpn=dict(nms_pre=1000, max_per_img=1000),
            rcnn=dict(score_thr=0.001, max_per_img=100),
        )
    ),
    attention_head=dict(
        type='InterFrameAttentionHead',
        num_classes=None,
        # not in the paper: what is far counts less
        spatial_sigma=8.0,
        spatial_row='index',
    ),
    history_fill=dict(history_length=24, threshold=0.3, max_age=None),
)
