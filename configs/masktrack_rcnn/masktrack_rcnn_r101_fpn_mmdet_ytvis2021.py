"""MaskTrack R-CNN, ResNet-101-FPN, as mmdet has it: for its published checkpoint, YouTube-VIS 2021 (31.3 AP).

Run:  maskprop infer masktrack_rcnn_r101_ytvis2021 my_video.mp4 --out out
"""

_base_ = './masktrack_rcnn_r101_fpn_mmdet_ytvis2019.py'

data_root = 'data/youtube_vis_2021/'

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='valid/instances.json'))

val_evaluator = dict(ann_file=data_root + 'annotations/mini_val.json')
test_evaluator = dict(ann_file=data_root + 'valid/instances.json')
