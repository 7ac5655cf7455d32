"""SipMask-VIS with ResNet-50-FPN: backbone, neck and losses of mmdet's FCOS, SipMask's head and tracking branch.

``num_classes`` is the data set's. Images are BGR with mean 103, 116, 123 as the Caffe weights want them. What the
published number was made with, and what departs from what: docs/methods/sipmask.md.
"""

_base_ = []

from mmengine.hub import get_config

fcos = get_config('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py').model
head = fcos.bbox_head
head.update(type='SipMaskHead', num_classes=None, stacked_convs=3)
model = dict(
    type='VideoMaskRCNN',
    data_preprocessor={**fcos.data_preprocessor, 'type': 'TrackDataPreprocessor', 'pad_mask': True},
    detector=dict(
        type='SipMask',
        backbone=fcos.backbone,
        neck=fcos.neck,
        bbox_head=head,
        # ten detections a frame
        test_cfg=dict(nms_pre=200, score_thr=0.03, iou_threshold=0.5, top_k=200, max_per_img=10, mask_thr_binary=0.5),
    ),
    track_head=dict(type='SipMaskTrackHead', in_channels=256, stacked_convs=2),
    linker=dict(type='MaskTrackLinker', normalize=False),
    merge_iou=None,
    score_rule='majority_lowest',
    min_frames=1,
)
del fcos, head
