"""MaskTrack R-CNN with ResNet-50-FPN: mmdet's parts, the reference code's track head, tracker and test settings.

Detector and track head are those of mmdet's config, whose samplers and proposal numbers are the reference's.
``num_classes`` is the data set's. What departs from what: docs/methods/masktrack_rcnn.md.
"""

_base_ = []

from mmengine.hub import get_config

model = get_config('mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py').model
model.type = 'VideoMaskRCNN'
model.pop('tracker')
for head in (model.detector.roi_head.bbox_head, model.detector.roi_head.mask_head):
    head.num_classes = None
# the whole detector starts from COCO; classes that don't fit start from scratch
model.detector.backbone.init_cfg = None
# ten detections a frame, with a score above .05
model.detector.test_cfg.rcnn.update(score_thr=0.05, max_per_img=10)
model.track_head.type, model.track_head.embed_head.type = 'TrackHead', 'TrackEmbedHead'
model.update(
    linker=dict(type='MaskTrackLinker'),
    merge_iou=None,
    score_rule='majority',
    min_frames=2,
)
del head
