"""MaskTrack R-CNN*: MaskProp's detector, backbone and schedule, with a track head in place of its branch.

Run:  maskprop train configs/masktrack_rcnn/masktrack_rcnn_htc_r50_fpn_20e_ytvis2019.py --auto-scale-lr
      bash tools/dist_train.sh configs/masktrack_rcnn/masktrack_rcnn_htc_r50_fpn_20e_ytvis2019.py 8 --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

The row of that name in MaskProp's tables: what is left of the difference when the detector is the same.
"""

_base_ = '../maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py'

from mmengine.hub import get_config

track_head = get_config(
    'mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py'
).model.track_head
track_head.type, track_head.embed_head.type = 'TrackHead', 'TrackEmbedHead'
model = dict(
    propagation_head=None,
    track_head=track_head,
    linker=dict(_delete_=True, type='MaskTrackLinker'),
    merge_iou=None,
    score_rule='majority',
    min_frames=2,
)
del track_head

# the reference frame is uniform over all other frames of the video that have an object
train_pipeline = _base_.train_pipeline
train_pipeline[0].max_gap = None
train_pipeline[0].with_objects = True
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
