"""OVIS with the settings of youtube_vis_2019.py.

As unpacked: annotations_train.json, annotations_valid.json, train, valid.
Before the first training (docs/data.md):
  maskprop split data/ovis/annotations_train.json --val-videos 67 --seed 0 --out-dir data/ovis/annotations
"""

_base_ = './youtube_vis_2019.py'

data_root = 'data/ovis/'
num_classes = 25

train_dataloader = dict(dataset=dict(data_root=data_root, data_prefix=dict(img_path='train')))
val_dataloader = dict(dataset=dict(data_root=data_root, data_prefix=dict(img_path='train')))
test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='annotations_valid.json', data_prefix=dict(img_path='valid'))
)

val_evaluator = dict(ann_file=data_root + 'annotations/mini_val.json')
test_evaluator = dict(
    ann_file=data_root + 'annotations_valid.json',
)
