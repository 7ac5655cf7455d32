"""Instance masks that the branch trains on: the mask head's, or the ground truth (Section 4.2 leaves it open).

Run:  maskprop ablate configs/ablations/mask_source.py
"""

_base_ = ['_base_/heads.py']

study = dict(
    title='Instance masks in training: predicted or ground truth',
    rows=[
        dict(name='predicted', train=dict(name='propagation')),
        dict(
            name='ground truth',
            train=dict(name='true_masks', options={'model.propagation_head.mask_source': 'ground_truth'}),
        ),
    ],
)
