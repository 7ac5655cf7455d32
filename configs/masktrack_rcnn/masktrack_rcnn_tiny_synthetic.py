"""MaskTrack R-CNN on the demo's small Mask R-CNN and synthetic set, from scratch, minutes on two CPU cores.

Run, with the set in data/synthetic (docs/synthetic.md):
      maskprop train configs/masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py --auto-scale-lr
      maskprop test configs/masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py CHECKPOINT

Schedule, detection losses on both frames of a pair and the score threshold are the demo's.
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py', '../_base_/models/tiny_heads.py']

model = dict(
    propagation_head=None,
    track_head=_base_.tiny_track_head,
    linker=dict(_delete_=True, type='MaskTrackLinker'),
    fill=False,
    score_rule='majority',
)
variants = dict(
    _delete_=True,
    mask_track=dict(),
    box_iou=dict(linker=dict(type='BoxIoULinker', threshold=0.02)),
)
