"""Tracking by detection on the detections of MaskTrack R-CNN*, YouTube-VIS 2019: test only (MaskProp, Table 2).

Run:  maskprop compare-variants configs/tracking_by_detection/trackers_htc_r50_fpn_ytvis2019.py \
          CHECKPOINT.pth --frame-strides 1 \
          --cfg-options test_dataloader.dataset.ann_file=annotations/mini_val.json \
          test_dataloader.dataset.data_prefix.img_path=train/JPEGImages
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

CHECKPOINT.pth is of configs/masktrack_rcnn/masktrack_rcnn_htc_r50_fpn_20e_ytvis2019.py. The trackers have mmdet's
settings for MOT17 but for the scores, which start at .1 here and not at .5: video AP counts unsure tracks too.
deepsort has mmdet's model, trained on pedestrians; deepsort_embeds compares what the track head has learnt.
docs/methods/tracking_by_detection.md
"""

_base_ = ['../masktrack_rcnn/masktrack_rcnn_htc_r50_fpn_20e_ytvis2019.py', '../_base_/models/reid_r50.py']

sort = dict(type='SORTTracker', obj_score_thr=0.1, match_iou_thr=0.5, num_tentatives=2, num_frames_retain=100)
bytetrack = dict(
    type='ByteTracker',
    obj_score_thrs=dict(high=0.6, low=0.1),
    init_track_thr=0.1,
    match_iou_thrs=dict(high=0.1, low=0.5, tentative=0.3),
    num_frames_retain=30,
)
appearance = dict(num_samples=10, img_scale=_base_.crop_size, match_score_thr=2.0)

variants = dict(
    masktrack_rcnn=dict(),
    mask_iou=dict(linker=dict(type='MaskIoULinker', same_category=True)),
    box_iou=dict(linker=dict(type='BoxIoULinker', same_category=True)),
    sort=dict(linker=dict(type='MMDetTrackerLinker', tracker=sort)),
    bytetrack=dict(linker=dict(type='MMDetTrackerLinker', tracker=bytetrack)),
    deepsort=dict(linker=dict(type='MMDetTrackerLinker', tracker=dict(reid=appearance, **sort), reid=_base_.reid)),
    deepsort_embeds=dict(
        linker=dict(
            type='MMDetTrackerLinker',
            tracker=dict(reid=dict(num_samples=10, match_score_thr=1.0), **sort),
            reid='embeds',
        )
    ),
)
del sort, bytetrack, appearance
