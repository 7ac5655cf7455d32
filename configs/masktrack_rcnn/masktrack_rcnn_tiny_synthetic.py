"""MaskTrack R-CNN on the demo's small Mask R-CNN and synthetic set, from scratch, minutes on two CPU cores.

Run, with the set in data/synthetic (docs/synthetic.md):
      python tools/train.py configs/masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py
      python tools/test.py configs/masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py CHECKPOINT

Schedule, detection losses on both frames of a pair and the score threshold are the demo's.
"""

_base_ = '../demo/maskprop_tiny_synthetic.py'

model = dict(
    propagation_head=None,
    track_head=dict(
        type='RoITrackHead',
        roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=1),
            out_channels=32,
            featmap_strides=[4, 8, 16, 32],
            finest_scale=28,
        ),
        embed_head=dict(
            type='TrackEmbedHead', num_fcs=2, roi_feat_size=7, in_channels=32, fc_out_channels=128
        ),
        train_cfg=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=True,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type='RandomSampler', num=32, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=True
            ),
        ),
    ),
    linker=dict(_delete_=True, type='MaskTrackLinker'),
    fill=False,
    score_rule='majority',
)
variants = dict(
    _delete_=True,
    mask_track=dict(),
    box_iou=dict(linker=dict(type='BoxIoULinker', threshold=0.02)),
)
