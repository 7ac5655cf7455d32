"""mmdet's Mask R-CNN R50 (COCO, 37.1 mask AP) on any video: 80 classes, linked by flow, without training.

Run:  maskprop infer configs/coco/mask_rcnn_r50_coco.py CHECKPOINT.pth my_video.mp4 --out out

CHECKPOINT.pth is mmdet's as it is: configs/coco/metafile.yml names it. Other links, speed: docs/coco.md
"""

_base_ = './_base_/video.py'

from mmengine.hub import get_config

detector = get_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco.py').model
detector.pop('data_preprocessor')
detector.backbone.init_cfg = None  # the checkpoint has the whole detector
for head in (detector.roi_head.bbox_head, detector.roi_head.mask_head):
    head.num_classes = None
detector.test_cfg.rcnn.update(score_thr=0.3, max_per_img=30)
model = dict(detector=detector)
del detector, head
