"""MaskProp against tracking by detection, on the demo's model and detections: test only.

Run:  maskprop train configs/tracking_by_detection/reid_tiny_synthetic.py
      maskprop compare-variants configs/tracking_by_detection/trackers_tiny_synthetic.py \
          work_dirs/demo_full/train/epoch_8.pth

The first command trains DeepSORT's appearance model. Ids are kept within a category everywhere. The demo's
detections have scores of .3 or more, and the trackers are set to take them all; thresholds were chosen on 30
videos of seed 0. docs/methods/tracking_by_detection.md
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py', '../_base_/models/reid_tiny.py']

sort = dict(type='SORTTracker', obj_score_thr=0.0, match_iou_thr=0.02, num_tentatives=2, num_frames_retain=30)
bytetrack = dict(
    type='ByteTracker',
    obj_score_thrs=dict(high=0.5, low=0.0),
    init_track_thr=0.3,
    match_iou_thrs=dict(high=0.02, low=0.02, tentative=0.02),
    num_frames_retain=6,
)
appearance = dict(num_samples=10, img_scale=_base_.crop_size, match_score_thr=0.5)
weights = dict(type='Pretrained', checkpoint='work_dirs/reid_tiny_synthetic/iter_1000.pth')
reid = dict(init_cfg=weights, **_base_.reid)

variants = dict(
    _delete_=True,
    maskprop=dict(),
    mask_iou=dict(linker=dict(type='MaskIoULinker', threshold=0.02, same_category=True), fill=False),
    box_iou=dict(linker=dict(type='BoxIoULinker', threshold=0.02, same_category=True), fill=False),
    sort=dict(linker=dict(type='MMDetTrackerLinker', tracker=sort), fill=False),
    bytetrack=dict(linker=dict(type='MMDetTrackerLinker', tracker=bytetrack), fill=False),
    deepsort=dict(
        linker=dict(type='MMDetTrackerLinker', tracker=dict(reid=appearance, **sort), reid=reid), fill=False
    ),
)
del sort, bytetrack, appearance, weights, reid
