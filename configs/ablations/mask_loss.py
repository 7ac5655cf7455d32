"""Loss of the propagated masks: soft IoU (Eq. 2, 3), or cross entropy, which the paper found "slightly worse".

Run:  python tools/ablate.py configs/ablations/mask_loss.py
"""

_base_ = ['_base_/heads.py']

study = dict(
    title='Loss of the propagated masks: soft IoU or cross entropy (Section 4.2)',
    rows=[
        dict(name='soft IoU', train=dict(name='propagation')),
        dict(
            name='cross entropy',
            train=dict(name='cross_entropy', options={'model.propagation_head.loss': dict(type='BinaryMaskLoss')}),
        ),
    ],
)
