"""MaskTrack R-CNN, ResNet-50-FPN, YouTube-VIS 2021; the rest as on YouTube-VIS 2019.

Run:  maskprop train configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2021.py --auto-scale-lr
      bash tools/dist_train.sh configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2021.py 4 --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2021, split into mini-train and mini-val)
"""

_base_ = './masktrack_rcnn_r50_fpn_12e_ytvis2019.py'

data_root = 'data/youtube_vis_2021/'

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='valid/instances.json'))

val_evaluator = dict(ann_file=data_root + 'annotations/mini_val.json')
test_evaluator = dict(ann_file=data_root + 'valid/instances.json')
