"""Your own videos, in YouTube-VIS format; `maskprop train CONFIG --data data/my_videos` needs no copy of it.

Check first:  maskprop check data/my_videos/all.json --images data/my_videos/images
Then split:   maskprop split data/my_videos/all.json --val-share 0.2 --seed 0
which writes the two files that are named here. Classes come from the file; train and val must list the same
categories. Both have annotations, so maskprop test scores the validation set.
"""

_base_ = './youtube_vis_2019.py'

data_root = 'data/my_videos/'
train_ann, val_ann = 'mini_train.json', 'mini_val.json'
num_classes = None  # the tools take it from the file; mmengine's Runner alone needs it here
images = dict(img_path='images')

train_dataloader = dict(dataset=dict(data_root=data_root, ann_file=train_ann, data_prefix=images))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file=val_ann, data_prefix=images))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + val_ann)
test_evaluator = dict(ann_file=data_root + val_ann, format_only=False)
