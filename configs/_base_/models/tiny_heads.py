"""Heads of the other methods for the small Mask R-CNN, to be put on one detector with the demo's branch."""

tiny_track_head = dict(
    type='TrackHead',
    roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=1),
        out_channels=32,
        featmap_strides=[4, 8, 16, 32],
        finest_scale=28,
    ),
    embed_head=dict(type='TrackEmbedHead', num_fcs=2, roi_feat_size=7, in_channels=32, fc_out_channels=128),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0.5,
            match_low_quality=True,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type='RandomSampler', num=32, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=True),
    ),
)
tiny_attention_head = dict(
    type='InterFrameAttentionHead', num_classes=None, in_channels=32, num_levels=4, channels=32, stride=8
)
