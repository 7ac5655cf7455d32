"""ObjProp, ResNet-50-FPN, YouTube-VIS 2019, all losses jointly, the paper's schedule (36.0 mAP in the paper).

Run:  maskprop train configs/objprop/objprop_r50_fpn_12e_ytvis2019.py --auto-scale-lr \
          --cfg-options load_from=MASKTRACK_RCNN.pth
      bash tools/dist_train.sh configs/objprop/objprop_r50_fpn_12e_ytvis2019.py 4 --auto-scale-lr \
          --cfg-options load_from=MASKTRACK_RCNN.pth
      maskprop test configs/objprop/objprop_r50_fpn_12e_ytvis2019.py CHECKPOINT
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

MASKTRACK_RCNN.pth is a checkpoint of configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py, as for the
released code; without load_from training starts from COCO, as the paper has it. Step by step: docs/methods/objprop.md.
"""

# data, schedule (640x360, flips, SGD .005 for 24 samples, 12 epochs, steps at 8 and 11), detector and tracker
_base_ = '../masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py'

# The detector's thresholds stay MaskTrack R-CNN's, so that the difference is what is filled. The released code
# tests ObjProp with others: rpn nms_pre=1000, max_per_img=1000; rcnn score_thr=.001, max_per_img=100.
model = dict(
    attention_head=dict(
        type='InterFrameAttentionHead',
        num_classes=None,
        in_channels=256,
        num_levels=4,
        channels=256,
        stride=8,
        num_mask_convs=4,
        reduction='mean',
        spatial_sigma=None,
    ),
    history_fill=dict(history_length=24, threshold=0.3, max_age=24),
)
