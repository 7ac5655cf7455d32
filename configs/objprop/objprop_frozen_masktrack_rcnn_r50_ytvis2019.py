"""ObjProp's propagation head on the public MaskTrack R-CNN (YouTube-VIS 2019, 30.2 AP), which stays as it is.

Run:  maskprop train configs/objprop/objprop_frozen_masktrack_rcnn_r50_ytvis2019.py --auto-scale-lr
      maskprop test configs/objprop/objprop_frozen_masktrack_rcnn_r50_ytvis2019.py CHECKPOINT.pth
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

Its cost: docs/training.md, "On a detector that stays as it is".
"""

_base_ = './objprop_r50_fpn_12e_ytvis2019_head_only.py'

from mmengine.hub import get_config

public = get_config('mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py', pretrained=True)
load_from = public.model_path
del public

model = dict(detector=dict(init_cfg=None))  # load_from has it all
