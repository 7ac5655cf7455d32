"""MaskTrack R-CNN with the conventions of mmdet 0.x and 1.x, for converted checkpoints of the reference code.

Run:  python tools/model_converters/objprop_reference.py REFERENCE.pth CONVERTED.pth
      maskprop test configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_legacy.py CONVERTED.pth
Data: docs/data.md (data/youtube_vis_2019). What is as there and what is not: docs/checkpoints.md.
"""

_base_ = './masktrack_rcnn_r50_fpn_12e_ytvis2019.py'

# boxes end with their last pixel, and RoIAlign takes two samples a bin without a shift by half a cell
roi_extractor = dict(type='LegacyRoIExtractor', roi_layer=dict(sampling_ratio=2, aligned=False))
coder = dict(type='PixelDeltaBoxCoder')
detector = dict(
    rpn_head=dict(
        anchor_generator=dict(type='LegacyAnchorGenerator', center_offset=0.5),
        bbox_coder=coder,
        loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9),
    ),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        mask_roi_extractor=roi_extractor,
        bbox_head=dict(bbox_coder=coder, loss_bbox=dict(type='SmoothL1Loss', beta=1.0)),
    ),
)
model = dict(detector=detector, track_head=dict(roi_extractor=roi_extractor), mask_paste='legacy')
del coder, detector, roi_extractor
