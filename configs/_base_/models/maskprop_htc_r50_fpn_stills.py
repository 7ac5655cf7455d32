"""MaskProp's HTC for still images, whose annotations leave something open (docs/stills.md)."""

_base_ = ['./maskprop_htc_r50_fpn.py']

ignore = dict(ignore_iof_thr=0.5)  # what lies in a crowd or a group is no background
model = dict(
    detector=dict(
        # its target needs a mask for every object
        roi_head=dict(semantic_head=dict(loss_seg=dict(loss_weight=0.0))),
        train_cfg=dict(
            rpn=dict(assigner=ignore),
            rcnn=[
                dict(stage, assigner=dict(stage.assigner, **ignore)) for stage in _base_.model.detector.train_cfg.rcnn
            ],
        ),
    )
)
