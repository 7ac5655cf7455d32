"""Strength of the frame-level masks (Table 4): the same branch on ever better detections. Test only.

Run:  maskprop ablate configs/ablations/mask_strength.py

The paper takes masks of four backbones. Here detections and masks are those of the same detector after 1, 2, 4 and
8 epochs, then the annotations; features and branch are always those of the last epoch. Missed frames are not
filled, as in the paper, whose rows stand beside ours in order of strength.
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

study = dict(
    title='Strength of the frame-level masks (Table 4)',
    paper='ResNet-50, ResNet-101, ResNeXt-101-64x4d and STSN-ResNeXt-101-64x4d, weakest first',
    rows=[
        dict(name=f'epoch {epoch}', masks_epoch=epoch, variant=dict(fill=False), paper=dict(AP=ap, AP75=ap75))
        for epoch, ap, ap75 in ((1, 40.0, 42.9), (2, 42.5, 45.6), (4, 44.3, 48.3), (8, 46.6, 51.2))
    ]
    + [dict(name='ground truth', ground_truth=True, variant=dict(fill=False))],
)
