"""mmdet's RTMDet-Ins, the large one, whose sizes the configs beside change, with the links of video.py."""

_base_ = './video.py'

from mmengine.hub import get_config

detector = get_config('mmdet::rtmdet/rtmdet-ins_l_8xb32-300e_coco.py').model
normalisation = detector.pop('data_preprocessor')
# SyncBN is for training on several GPUs, and does without CPUs; the weights are the same
for part in (detector.backbone, detector.neck, detector.bbox_head):
    part.norm_cfg.type = 'BN'
detector.bbox_head.num_classes = None
detector.backbone.init_cfg = None  # the checkpoint has the whole detector
detector.test_cfg.update(score_thr=0.3, max_per_img=30)
model = dict(
    data_preprocessor=dict(mean=normalisation.mean, std=normalisation.std, bgr_to_rgb=normalisation.bgr_to_rgb),
    detector=detector,
)
del detector, normalisation, part
