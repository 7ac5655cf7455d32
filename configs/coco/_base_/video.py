"""COCO's 80 classes, linked by optical flow: what the configs of mmdet's COCO detectors share.

``model.detector`` is theirs. Nothing here has weights of its own, so mmdet's checkpoint is the whole model.
"""

_base_ = ['../../_base_/datasets/custom_vis.py', '../../_base_/schedules/maskprop_20e.py', '../../_base_/default_runtime.py']

# in the order of COCO's category ids, which go to 90
classes = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'traffic light',
    'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep', 'cow', 'elephant',
    'bear', 'zebra', 'giraffe', 'backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard',
    'sports ball', 'kite', 'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle',
    'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange', 'broccoli',
    'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant', 'bed', 'dining table', 'toilet',
    'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink',
    'refrigerator', 'book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush',
)  # fmt: skip
left_out = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
metainfo = dict(classes=classes, category_ids=[i for i in range(1, 91) if i not in left_out])
del classes, left_out

model = dict(
    type='VideoMaskRCNN',
    data_preprocessor=dict(
        type='TrackDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    num_classes=80,
    # clips of 5 frames: at a video's 25 or 30 frames a second more of them cost time and tell little
    clip_radius=2,
    propagator=dict(type='FlowPropagator', flow=dict(type='DISFlow', preset='fast'), short_side=270),
    linker=dict(type='ClipLinker', threshold=0.1),
    fill=True,
)
bytetrack = dict(
    type='ByteTracker',
    obj_score_thrs=dict(high=0.5, low=0.3),
    init_track_thr=0.5,
    match_iou_thrs=dict(high=0.1, low=0.5, tentative=0.3),
    num_frames_retain=30,
)
# other links, by maskprop infer --variant
variants = dict(
    flow=dict(),
    flow_raft=dict(propagator=dict(type='FlowPropagator', flow=dict(type='RAFTFlow'), short_side=270)),
    copy=dict(propagator=dict(type='CopyPropagator')),
    box_iou=dict(linker=dict(type='BoxIoULinker', same_category=True, max_age=10), fill=False),
    mask_iou=dict(linker=dict(type='MaskIoULinker', same_category=True, max_age=10), fill=False),
    bytetrack=dict(linker=dict(type='MMDetTrackerLinker', tracker=bytetrack), fill=False),
)
del bytetrack

test_pipeline = [
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
            # the detectors were trained at 800; less is faster and misses small objects
            dict(type='Resize', scale=(1333, 480), keep_ratio=True),
        ],
    ),
    dict(type='PackTrackInputs', default_meta_keys=_base_.meta_keys),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
