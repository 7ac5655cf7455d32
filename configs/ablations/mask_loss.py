"""Loss of the propagated masks (Section 4.1): soft IoU (Eq. 2, 3), or cross entropy.

The paper observed the soft IoU loss "to work slightly better than the standard cross entropy loss for our task".

Run:  maskprop ablate configs/ablations/mask_loss.py
"""

_base_ = ['_base_/heads.py']

study = dict(
    title='Loss of the propagated masks: soft IoU or cross entropy (Section 4.1)',
    rows=[
        dict(name='soft IoU', train=dict(name='propagation')),
        dict(
            name='cross entropy',
            train=dict(name='cross_entropy', options={'model.propagation_head.loss': dict(type='BinaryMaskLoss')}),
        ),
    ],
)
