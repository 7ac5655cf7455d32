"""Every method of both papers' Table 2 on the synthetic set, in the order of the papers' AP.

Run:  maskprop ablate configs/ablations/papers_tables.py

Methods that take detections learn on one frozen detector of a seed, each its own head, and have the same detections.
SipMask and STEm-Seg, which have none, learn from scratch. All see as many frames: 10 epochs of 1,320 samples, 8 of them
the detector's; STEm-Seg clips of eight frames. MaskTrack R-CNN is so the MaskTrack R-CNN* of MaskProp's table (36.9);
its row has the paper's own number. No row adds masks in missed frames, ObjProp's excepted, whose method that is.
"""

_base_ = ['../tracking_by_detection/trackers_tiny_synthetic.py']

_base_.variants.deepsort.linker.reid.init_cfg.checkpoint = '{reid}'  # that of the seed
head_epochs, epochs = 2, 10
head = {
    'model.frozen': ['detector'],
    'train_cfg.max_epochs': head_epochs,
    'train_cfg.val_interval': head_epochs,
    'param_scheduler.1.T_max': head_epochs,
}
whole = {'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': epochs, 'param_scheduler.1.T_max': epochs}
in_clips = dict(linker=_base_.model.linker, clip_radius=3, score_rule='all')

study = dict(
    title="The papers' Table 2, every method",
    paper='YouTube-VIS 2019 validation, each method with its own backbone and detector',
    stability=True,
    costs=True,
    rows=[
        dict(
            name='MaskProp',
            variant=dict(fill=False),
            train=dict(name='maskprop', options=head),
            paper=dict(AP=46.6, AP75=51.2, AR1=44.0, AR10=52.6),
        ),
        dict(
            name='EnsembleVIS',
            config='configs/ensemble_vis/ensemble_vis_tiny_synthetic.py',
            train=dict(
                name='ensemble_vis',
                options={
                    **head,
                    'model.frozen': ['detector', 'classification_head', 'reid_head'],
                    'model.classification_head.net.init_cfg.checkpoint': '{classifier}',
                    'model.reid_head.net.init_cfg.checkpoint': '{reid}',
                },
                nets=dict(
                    classifier='configs/ensemble_vis/ensemble_vis_classifier_tiny_synthetic.py',
                    reid='configs/ensemble_vis/ensemble_vis_reid_tiny_synthetic.py',
                ),
            ),
            paper=dict(AP=44.8, AP75=48.9, AR1=42.7, AR10=51.7),
        ),
        dict(
            name='ObjProp',
            config='configs/objprop/study_tiny_synthetic.py',
            variant=dict(history_fill=dict()),
            train=dict(name='objprop', options={'model.propagation_head': None, **head}),
            paper=dict(AP=36.0, AP50=59.4, AP75=39.2, AR1=39.1, AR10=47.7),
        ),
        dict(
            name='SipMask',
            config='configs/sipmask/sipmask_tiny_synthetic.py',
            train=dict(name='sipmask', start='scratch', options=whole),
            paper=dict(AP=32.5, AP50=53.0, AP75=33.3, AR1=33.5, AR10=38.9),
        ),
        dict(
            name='STEm-Seg',
            config='configs/stem_seg/stem_seg_tiny_synthetic.py',
            train=dict(
                name='stem_seg',
                start='scratch',
                options={'train_dataloader.sampler.samples_per_epoch': 330, **whole},
            ),
            paper=dict(AP=30.6, AP50=50.7, AP75=33.5, AR1=31.6, AR10=37.1),
        ),
        dict(
            name='MaskTrack R-CNN',
            config='configs/masktrack_rcnn/masktrack_rcnn_tiny_synthetic.py',
            train=dict(name='masktrack_rcnn', options=head),
            paper=dict(AP=30.3, AP50=51.1, AP75=32.6, AR1=31.0, AR10=35.5),
        ),
        dict(
            name='OSMN [TrackByDet]',
            config='configs/osmn/osmn_tiny_synthetic.py',
            train=dict(name='osmn', options=head),
            paper=dict(AP=27.5, AP75=29.1, AR1=28.6, AR10=33.1),
        ),
        dict(
            name='FEELVOS [MaskProp]',
            config='configs/feelvos/feelvos_tiny_synthetic.py',
            train=dict(name='feelvos', options=head),
            paper=dict(AP=26.9, AP75=29.7, AR1=29.9, AR10=33.4),
        ),
        dict(
            name='DeepSORT',
            variant=_base_.variants.deepsort,
            nets=dict(reid='configs/tracking_by_detection/reid_tiny_synthetic.py'),
            paper=dict(AP=26.1, AP75=26.1, AR1=27.8, AR10=31.3),
        ),
        dict(
            name='OSMN [MaskProp]',
            config='configs/osmn/osmn_tiny_synthetic.py',
            variant=dict(linker=dict(type='PropagatedMaskLinker', output='propagated')),
            train=dict(name='osmn', options=head),
        ),
        dict(
            name='OSMN in clips',
            config='configs/osmn/osmn_tiny_synthetic.py',
            variant=in_clips,
            train=dict(name='osmn', options=head),
        ),
        dict(
            name='FEELVOS [TrackByDet]',
            config='configs/feelvos/feelvos_tiny_synthetic.py',
            variant=dict(linker=dict(type='PropagatedMaskLinker', output='detected')),
            train=dict(name='feelvos', options=head),
        ),
        dict(
            name='FEELVOS in clips',
            config='configs/feelvos/feelvos_tiny_synthetic.py',
            variant=in_clips,
            train=dict(name='feelvos', options=head),
        ),
    ],
)
del head_epochs, epochs, head, whole, in_clips
