"""Every method of both papers' Table 2 on real clips of several objects, one seed: test clips are of other frames.

Run, with the set of configs/davis16/maskprop_tiny_davis16_pasted.py in data/davis16_pasted:
      maskprop ablate configs/ablations/papers_tables_real.py

Trainings are those of papers_tables.py, on these clips; EnsembleVIS and DeepSORT, whose models of crops have configs for
synthetic sets only, are left out. The detector learns from scratch on twelve videos and is weak,
so methods that take detections link those of the annotations too: rows "true masks".
"""

_base_ = ['../davis16/maskprop_tiny_davis16_pasted.py']

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
rows = []
for row in tables.rows:
    row = row.to_dict()
    if row.get('nets') or row['train'].get('nets'):
        continue
    if row.get('train'):
        name = f'real_{row["train"]["name"]}'
        row['train'] = dict(row['train'], name=name, options={**row['train']['options'], **data})
    rows.append(row)
    if row['name'] not in ('ObjProp', 'SipMask', 'STEm-Seg'):
        rows.append(dict(row, name=f'{row["name"]}, true masks', ground_truth=True, paper={}))

study = dict(
    title="The papers' Table 2, every method, on real clips",
    paper=tables.paper,
    seeds=(2026,),
    detector='configs/ablations/_base_/real_detector.py',
    synthetic=None,
    frame_stride=2,
    stability=True,
    rows=rows,
)
del tables, data, rows, row, name
