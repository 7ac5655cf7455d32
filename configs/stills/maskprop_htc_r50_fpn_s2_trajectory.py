"""Stage S2 on frame pairs made of still images by one movement of the camera (VITA's).

Run, after S1:
      maskprop train configs/stills/maskprop_htc_r50_fpn_s2_trajectory.py --auto-scale-lr \
          --cfg-options load_from=work_dirs/maskprop_htc_r50_fpn_s1_coco/epoch_12.pth
"""

_base_ = ['./maskprop_htc_r50_fpn_s2_warps.py']

train_dataloader = dict(dataset=dict(pipeline=_base_.trajectory_pipeline))
