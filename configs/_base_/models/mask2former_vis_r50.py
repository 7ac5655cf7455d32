"""Mask2Former-VIS with ResNet-50: mmdet's parts, streamed. ``num_classes`` is the data set's."""

_base_ = []

from mmengine.hub import get_config

model = get_config('mmdet::mask2former_vis/mask2former_r50_8xb2-8e_youtubevis2019.py').model
model.type = 'Mask2FormerVIS'
model.track_head.num_classes = None
model.track_head.loss_cls.class_weight = None  # 1 for each class, .1 for none of them
model.track_head.pixel_decoder.type = 'FramePixelDecoder'
model.backbone.init_cfg = None  # the whole model starts from COCO
# clips of 13 frames that share 6
model.update(clip_radius=6, linker=dict(type='ClipLinker', threshold=0.3))
