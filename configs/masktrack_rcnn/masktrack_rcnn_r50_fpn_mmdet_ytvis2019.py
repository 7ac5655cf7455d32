"""MaskTrack R-CNN, ResNet-50-FPN, as mmdet has it: for its published checkpoint, YouTube-VIS 2019 (30.2 AP).

Run:  maskprop infer masktrack_rcnn_r50_ytvis2019 my_video.mp4 --out out
      maskprop test masktrack_rcnn_r50_ytvis2019 --submission submission.zip

Detections and ids are those of mmdet's MaskTrackRCNN. What differs from the reference: docs/methods/masktrack_rcnn.md,
"Where it departs".
"""

_base_ = './masktrack_rcnn_r50_fpn_12e_ytvis2019.py'

model = dict(
    track_head=dict(
        embed_head=dict(
            last_relu=True,
            normalize=False,
            average='matched',
            init_cfg=dict(type='Normal', layer=[], std=0.01),  # of no layer: PyTorch's initial weights stay
        )
    ),
    linker=dict(normalize=False, legacy_iou=False, losers='duplicate', update_labels=True, max_age=20),
    min_frames=1,
    detector=dict(test_cfg=dict(rcnn=dict(score_thr=0.01, max_per_img=100))),
)
