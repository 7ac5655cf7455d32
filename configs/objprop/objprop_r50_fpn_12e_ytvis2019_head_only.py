"""ObjProp's propagation head alone, on a trained and frozen MaskTrack R-CNN (the first release's training).

Run:  maskprop train configs/objprop/objprop_r50_fpn_12e_ytvis2019_head_only.py --auto-scale-lr \
          --cfg-options load_from=MASKTRACK_RCNN.pth
      bash tools/dist_train.sh configs/objprop/objprop_r50_fpn_12e_ytvis2019_head_only.py 4 --auto-scale-lr \
          --cfg-options load_from=MASKTRACK_RCNN.pth
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

MASKTRACK_RCNN.pth is a checkpoint of configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py; what it
detects and tracks stays as it is.
"""

_base_ = './objprop_r50_fpn_12e_ytvis2019.py'

model = dict(frozen=('detector', 'track_head'))
