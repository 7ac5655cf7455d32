"""EnsembleVIS's detector: Mask R-CNN, ResNet-101-FPN, YouTube-VIS 2019; the first of four trainings.

Run:  maskprop train configs/ensemble_vis/ensemble_vis_detector_r101_ytvis2019.py --auto-scale-lr
      bash tools/dist_train.sh configs/ensemble_vis/ensemble_vis_detector_r101_ytvis2019.py 4 --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

Sizes, proposals and NMS are PReMVOS's; which detections EnsembleVIS took is not known, so scores begin at .05 here,
and 20 a frame are kept. The schedule is MaskTrack R-CNN's. docs/methods/ensemble_vis.md
"""

_base_ = ['../masktrack_rcnn/masktrack_rcnn_r101_fpn_12e_ytvis2019.py']

model = dict(
    track_head=None,
    detect_on='both',
    detector=dict(
        test_cfg=dict(
            rpn=dict(nms_pre=1000, max_per_img=100, nms=dict(type='nms', iou_threshold=0.7)),
            rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=20),
        )
    ),
    linker=dict(_delete_=True, type='BoxIoULinker', threshold=0.3, same_category=True),
    merge_iou=0.7,
    min_frames=1,
)
variants = dict(box_iou=dict())

short_and_long = (1333, 800)  # long side at most, shorter side
train_pipeline = _base_.train_pipeline
train_pipeline[1]['transforms'][2] = dict(type='Resize', scale=short_and_long, keep_ratio=True)
test_pipeline = _base_.test_pipeline
test_pipeline[0]['transforms'][1] = dict(type='Resize', scale=short_and_long, keep_ratio=True)
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
del short_and_long
