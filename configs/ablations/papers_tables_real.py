"""Every method of both papers' Table 2 on real clips of several objects, one seed: test clips are of other frames.

Run, with the set of configs/davis16/maskprop_tiny_davis16_pasted.py in data/davis16_pasted:
      maskprop ablate configs/ablations/papers_tables_real.py

Trainings are those of papers_tables.py, on these clips, with frames of the same size; models of crops are those of
configs/davis16. The detector learns for six epochs from scratch on twelve videos and is weak, so methods that take
detections link those of the annotations too: rows "true masks". EnsembleVIS makes masks of its own in their boxes.
"""

_base_ = ['_base_/real_small_detector.py']

from mmengine.config import Config as _Config

tables = _Config.fromfile('{{fileDirname}}/papers_tables.py').study
data = {
    'model.num_classes': 8,
    'train_dataloader.dataset.data_root': _base_.data_root,
    'train_dataloader.dataset.ann_file': 'annotations/train.json',
    'train_dataloader.dataset.pipeline.1': _base_.train_pipeline[1],
    'test_dataloader.dataset': _base_.test_dataloader.dataset,
    'test_evaluator': _base_.test_evaluator,
}
# the detector's six epochs and a head's two
whole = {'train_cfg.max_epochs': 8, 'train_cfg.val_interval': 8, 'param_scheduler.1.T_max': 8}
own = {
    # its segmentation model begins from scratch, like the next two
    'EnsembleVIS': {'model.classification_head.net.head.num_classes': 9, **whole},
    'SipMask': whole,
    'STEm-Seg': {'train_dataloader.dataset.frame_stride': 2, **whole},  # the test's
}
rows = []
for row in tables.rows:
    row = row.to_dict()
    train = row.get('train')
    for part in (row, train or {}):
        for name, net in part.get('nets', {}).items():
            part['nets'][name] = 'configs/davis16/' + net.split('/')[-1].replace('synthetic', 'davis16_pasted')
    if train:
        train.update(
            name=f'real_{train["name"]}', options={**train['options'], **data, **own.get(row['name'], {})}
        )
    rows.append(row)
    if row['name'] not in ('ObjProp', 'SipMask', 'STEm-Seg'):
        rows.append(dict(row, name=f'{row["name"]}, true masks', ground_truth=True, paper={}))

study = dict(
    title="The papers' Table 2, every method, on real clips",
    paper=tables.paper,
    seeds=(2026,),
    detector='configs/ablations/_base_/real_small_detector.py',
    synthetic=None,
    frame_stride=2,
    stability=True,
    rows=rows,
)
del _Config, tables, data, whole, own, rows, row, train, part, name, net
