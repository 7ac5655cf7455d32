"""mmdet's RTMDet-Ins large (COCO, 43.7 mask AP) on any video: 80 classes, linked by flow, without training.

Run:  maskprop infer configs/coco/rtmdet_ins_l_coco.py CHECKPOINT.pth my_video.mp4 --out out

CHECKPOINT.pth is mmdet's as it is: configs/coco/metafile.yml names it. Other links, speed: docs/coco.md
"""

_base_ = './_base_/rtmdet_ins.py'
