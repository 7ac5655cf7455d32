"""STEm-Seg with ResNet-50-FPN (Athar et al., ECCV 2020): the published code's widths, weights and thresholds.

The backbone is caffe's (stride in the 1 x 1 convolutions), frozen up to its second stage; norms are frozen and divide
by the root of the variance alone. Backbone and FPN begin from a Mask R-CNN of COCO.
"""

pretrained = 'https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco/mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco_bbox_mAP-0.408__segm_mAP-0.37_20200504_163245-42aa3d00.pth'  # noqa: E501

model = dict(
    type='StemSeg',
    data_preprocessor=dict(
        type='TrackDataPreprocessor',
        mean=[102.9801, 115.9465, 122.7717],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=False,
        pad_mask=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=False, eps=0),
        norm_eval=True,
        style='caffe',
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone'),
    ),
    neck=dict(
        type='FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        num_outs=4,
        upsample_cfg=dict(mode='bilinear', align_corners=False),
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='neck'),
    ),
    embedding_head=dict(type='ClipEmbeddingDecoder', in_channels=256, channels=(256, 256, 128, 128)),
    class_head=dict(type='ClipClassDecoder', in_channels=256, channels=(256, 256, 256, 256), num_classes=None),
    clip_length=8,
    loss_weights=dict(lovasz=1.0, smoothness=10.0, seediness=1.0, semantic=1.0, foreground=1.0),
    clustering=dict(
        type='SeedClustering',
        distance='root',
        leftovers='farthest',
        primary=0.5,
        secondary=0.3,
        min_seediness=0.8,
        max_clusters=20,
    ),
    clip_overlap=4,
    enlarge='embeddings',
    max_tracks=10,
)
