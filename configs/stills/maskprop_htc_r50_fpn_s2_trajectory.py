"""Stage S2 on pairs made of still images by one movement of the camera (VITA's).

Run as configs/stills/maskprop_htc_r50_fpn_s2_warps.py.
"""

_base_ = ['./maskprop_htc_r50_fpn_s2_warps.py']

train_dataloader = dict(dataset=dict(pipeline=_base_.trajectory_pipeline))
