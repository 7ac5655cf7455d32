"""SipMask-VIS on the demo's small backbone and synthetic set, from scratch, minutes on two CPU cores.

Run, with the set in data/synthetic (docs/synthetic.md):
      maskprop train configs/sipmask/sipmask_tiny_synthetic.py --auto-scale-lr
      maskprop test configs/sipmask/sipmask_tiny_synthetic.py CHECKPOINT

Schedule, and detection losses on both frames of a pair, are the demo's. Three levels from stride 8 are enough for
frames of 160 x 96.
"""

_base_ = '../demo/maskprop_tiny_synthetic.py'

strides, regress_ranges = (8, 16, 32), ((-1, 32), (32, 64), (64, 1e8))
norm_cfg = dict(type='GN', num_groups=8, requires_grad=True)
detector = dict(
    _delete_=True,
    type='SipMask',
    backbone=_base_.model.detector.backbone,
    neck=dict(type='FPN', in_channels=[16, 32, 64, 128], out_channels=32, start_level=1, num_outs=3),
    bbox_head=dict(
        type='SipMaskHead',
        num_classes=None,
        in_channels=32,
        feat_channels=32,
        stacked_convs=3,
        num_bases=16,
        basis_channels=64,
        strides=strides,
        regress_ranges=regress_ranges,
        norm_cfg=norm_cfg,
    ),
    # surer detections than .03, as in the demo: fragments of an object would take its id
    test_cfg=dict(nms_pre=200, score_thr=0.2, iou_threshold=0.5, top_k=200, max_per_img=10, mask_thr_binary=0.5),
)
model = dict(
    propagation_head=None,
    detector=detector,
    track_head=dict(
        type='SipMaskTrackHead',
        in_channels=32,
        feat_channels=32,
        embed_channels=64,
        strides=strides,
        regress_ranges=regress_ranges,
        norm_cfg=norm_cfg,
    ),
    linker=dict(_delete_=True, type='MaskTrackLinker', normalize=False),
    merge_iou=None,
    fill=False,
    score_rule='majority_lowest',
)
del strides, regress_ranges, norm_cfg, detector
variants = dict(
    _delete_=True,
    sipmask=dict(),
    box_iou=dict(linker=dict(type='BoxIoULinker', threshold=0.02)),
)
