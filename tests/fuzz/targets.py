"""The inputs that are mutated: how a mutant is made, what reads it, and what checks that independently."""

from __future__ import annotations

import argparse
import functools
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from hypothesis import strategies as st
from mmengine.config import Config
from pycocotools import mask as coco_mask

import maskprop

maskprop.register_all()

from mmdet.registry import DATASETS  # noqa: E402

from maskprop.ablation.jobs import plan  # noqa: E402
from maskprop.ablation.study import load_study  # noqa: E402
from maskprop.apis.frames import open_frames  # noqa: E402
from maskprop.datasets.rle import compress  # noqa: E402
from maskprop.datasets.ytvis_json import AnnotationError, find_problems, load_ytvis  # noqa: E402
from maskprop.engine.cfg_options import ConfigOptions, is_text  # noqa: E402
from maskprop.engine.checkpoint import load_checkpoint_file, saved_classes  # noqa: E402
from maskprop.engine.checkpoint_content import check_content  # noqa: E402
from maskprop.engine.config import load_config  # noqa: E402
from maskprop.engine.config_types import check_types  # noqa: E402
from maskprop.engine.state_dicts import find_weights  # noqa: E402
from maskprop.evaluation import load_ground_truth, read_results, score_results  # noqa: E402
from tests.engine.tiny_config import STAND_IN, tiny_config  # noqa: E402
from tests.fuzz.mutants import ODD_VALUES, changed_bytes, changed_text, changed_tree  # noqa: E402
from tests.fuzz.verdicts import WrongAcceptance, verdict_of  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

Verdict = tuple[str, str]
DEMO = str(Path(__file__).parents[2] / 'configs/demo/maskprop_tiny_synthetic.py')


def fail_unless(holds: bool, words: str) -> None:
    if not holds:
        raise WrongAcceptance(words)


@functools.cache
def sound_set(folder: Path) -> Path:
    return write_tiny_ytvis(folder / 'set', videos=2, frames=3)


@functools.cache
def sound_annotations(folder: Path) -> dict:
    return json.loads((sound_set(folder) / 'annotations/train.json').read_text())


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def annotations(draw: Callable, folder: Path) -> Verdict:
    """What the checker passes, the data set of a training takes, and masks are those of pycocotools."""
    file = write_json(folder / 'gt.json', draw(changed_tree(sound_annotations(folder))))

    def read() -> None:
        errors = [str(problem) for problem in find_problems(file) if problem.severity == 'error']
        if errors:
            raise AnnotationError(errors[0])

    def check(_: None) -> None:
        gt = load_ytvis(file)
        sizes = {video['id']: (video['height'], video['width']) for video in gt['videos']}
        for annotation in gt['annotations'] or []:
            for mask in annotation['segmentations']:
                if isinstance(mask, dict) and isinstance(mask['counts'], str):
                    dense = coco_mask.decode(dict(mask, counts=mask['counts'].encode()))
                    fail_unless(dense.shape == sizes[annotation['video_id']], f'a mask of {dense.shape}')
        for test_mode in (False, True):
            try:
                cfg = dict(type='YouTubeVISJsonDataset', ann_file=str(file), test_mode=test_mode, pipeline=[])
                dataset = DATASETS.build(cfg)
            except AnnotationError as error:
                fail_unless('nothing to train on' in str(error) or not gt['annotations'], str(error))
                continue
            for video in range(len(dataset)):
                for image in dataset.get_data_info(video)['images']:
                    for instance in image['instances']:
                        rle = compress(instance['mask'], image['height'], image['width'])  # may be polygons
                        area = int(coco_mask.decode(rle).sum())
                        fail_unless(area == int(coco_mask.area(rle)) > 0, f'an area of {area}')

    return verdict_of(read, check)


@functools.cache
def sound_results(folder: Path) -> list[dict]:
    gt = sound_annotations(folder)
    return [
        dict(video_id=a['video_id'], category_id=a['category_id'], score=0.5, segmentations=a['segmentations'])
        for a in gt['annotations']
    ]


def results(draw: Callable, folder: Path) -> Verdict:
    """What is scored has masks that pycocotools decodes at the video's size, and gives numbers in 0..1."""
    file = write_json(folder / 'results.json', draw(changed_tree(sound_results(folder))))
    truth = load_ground_truth(sound_set(folder) / 'annotations/train.json')

    def check(scored: Any) -> None:
        numbers = [value for value in scored.to_dict().values() if isinstance(value, float)]
        fail_unless(all(value == -1 or 0 <= value <= 1 + 1e-9 for value in numbers), str(numbers))
        sizes = {v['id']: (v['height'], v['width']) for v in sound_annotations(folder)['videos']}
        for record in json.loads(file.read_text()):
            fail_unless(math.isfinite(record['score']), 'a score that is not finite')
            for mask in record['segmentations']:
                if mask and isinstance(mask['counts'], str):
                    dense = coco_mask.decode(dict(mask, counts=mask['counts'].encode()))
                    fail_unless(dense.shape == sizes[int(record['video_id'])], f'a mask of {dense.shape}')

    return verdict_of(lambda: score_results(truth, read_results(file), drop_unknown=False), check)


def zips(draw: Callable, folder: Path) -> Verdict:
    """What comes out of a changed zip is what went in."""
    whole, file = folder / 'whole.zip', folder / 'changed.zip'
    if not whole.exists():
        with zipfile.ZipFile(whole, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr('results.json', json.dumps(sound_results(folder)))
    file.write_bytes(draw(changed_bytes(whole.read_bytes())))
    same = json.loads(json.dumps(sound_results(folder)))
    return verdict_of(lambda: read_results(file), lambda found: fail_unless(found == same, 'other results'))


def pictures(draw: Callable, folder: Path) -> Verdict:
    """Frames that the checker passes are read by a training, at their size."""
    content = dict(sound_annotations(folder))
    frames = folder / 'frames'
    frames.mkdir(exist_ok=True)
    kind = draw(st.sampled_from(('png', 'jpg', 'webp', 'tif', 'bmp')))
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    name = f'frame.{kind}'
    (frames / name).write_bytes(draw(changed_bytes(cv2.imencode(f'.{kind}', image)[1].tobytes())))
    content['videos'] = [dict(content['videos'][0], length=1, file_names=[name])]
    content['annotations'] = []
    file = write_json(folder / 'pictures.json', content)

    def read() -> None:
        errors = [str(problem) for problem in find_problems(file, frames, True) if problem.severity == 'error']
        if errors:
            raise AnnotationError(errors[0])

    def check(_: None) -> None:
        found = mmcv.imfrombytes((frames / name).read_bytes(), backend='cv2')
        fail_unless(found is not None and found.shape == (48, 64, 3), f'{name} is read as {np.shape(found)}')

    return verdict_of(read, check)


def videos(draw: Callable, folder: Path) -> Verdict:
    """Frames of a changed video have one size."""
    whole, file = folder / 'whole.avi', folder / 'changed.avi'
    if not whole.exists():
        writer = cv2.VideoWriter(str(whole), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
        for shade in range(0, 250, 50):
            writer.write(np.full((48, 64, 3), shade, np.uint8))
        writer.release()
    file.write_bytes(draw(changed_bytes(whole.read_bytes())))
    return verdict_of(
        lambda: {frame.shape for frame in open_frames(file)},
        lambda shapes: fail_unless(len(shapes) <= 1, f'frames of {shapes}'),
    )


def configs(draw: Callable, folder: Path) -> Verdict:
    """What is accepted can be built: model, data, loops, hooks, evaluators, optimizer, schedules."""
    from maskprop.engine import runs

    sound = tiny_config(sound_set(folder), folder / 'work', file=STAND_IN)
    keep = {key: sound[key] for key in sound if key not in ('custom_imports', 'work_dir', 'experiment_name')}
    tree = Config(keep).to_dict()
    # without the variables of the file, of which nothing is made
    names = ('load_frame', 'train_pipeline', 'test_pipeline', 'dataset')
    mutant = draw(changed_tree({key: value for key, value in tree.items() if key not in names}))
    mutant = mutant | dict(work_dir=str(folder / 'work'), experiment_name=sound.experiment_name)

    def read() -> None:
        train = runs.Runner.train
        runs.Runner.train = _build_all
        try:
            runs.train(Config(mutant))
        finally:
            runs.Runner.train = train

    return verdict_of(read)


def _build_all(runner: Any) -> None:
    """What mmengine's ``Runner.train`` does before its first step."""
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    if runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)


def options(draw: Callable, folder: Path) -> Verdict:
    """A path is read as it is written; what else is read fits the config, or is refused."""
    keys = ('train_dataloader.dataset.data_root', 'load_from', 'train_cfg.max_epochs', 'param_scheduler.0.begin')
    key = draw(st.sampled_from(keys) | changed_text('train_cfg.max_epochs'))
    value = draw(st.text(alphabet='[](){},\'" .=-01e5Nonetruex\u00e9', max_size=12) | st.text(max_size=6))
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)

    def read() -> dict:
        found = parser.parse_args([f'--cfg-options={key}={value}']).cfg_options
        check_types(load_config(Config.fromfile(STAND_IN), found))
        return found

    def check(found: dict) -> None:
        text = found[key] if is_text(key) else None
        if isinstance(text, str) and not set(value) & set('\'"[]()'):
            fail_unless(text == value, f'{value!r} became {text!r}')

    return verdict_of(read, check)


OPTIMIZER = dict(state={}, param_groups=[dict(params=[0], lr=0.1)])


def checkpoints(draw: Callable, folder: Path) -> Verdict:
    """What is accepted has tensors by name, and classes by name, and is what was saved."""
    meta = dict(epoch=1, iter=2, seed=3, cfg='x', dataset_meta=dict(classes=['a', 'b'], category_ids=[1, 2]))
    hub = dict(log_scalars={}, runtime_info=dict(iters_per_epoch=2), resumed_keys={})
    sound = dict(meta=meta, state_dict={'w': 1, 'b': 2}, optimizer=OPTIMIZER, message_hub=hub)
    mutant = draw(changed_tree(sound)) if draw(st.integers(0, 9)) else draw(ODD_VALUES)
    state = mutant.get('state_dict') if isinstance(mutant, dict) else None
    if isinstance(state, dict):
        state |= {key: torch.zeros(2) for key, value in state.items() if type(value) is int and 0 < value < 5}
    file = folder / 'checkpoint.pth'
    try:
        torch.save(mutant, file)
    except Exception:  # no file can hold it
        return verdict_of(lambda: None)
    if not draw(st.integers(0, 3)):
        file.write_bytes(draw(changed_bytes(file.read_bytes())))

    def read() -> tuple:
        content = load_checkpoint_file(file)
        check_content(content, str(file), resume=True)
        return content, find_weights(content, str(file)), saved_classes(content)

    def check(found: tuple) -> None:
        content, weights, classes = found
        fail_unless(repr(content) == repr(mutant), 'another content')
        fail_unless(all(isinstance(weight, torch.Tensor) for weight in weights.values()), 'no tensors')
        fail_unless(all(isinstance(name, str) for name in classes.get('classes', ())), 'no class names')

    return verdict_of(read, check)


def studies(draw: Callable, folder: Path) -> Verdict:
    """All jobs of an accepted study stay inside of its folder."""
    rows = [
        dict(name='a', variant=dict(fill=True), options={'model.clip_radius': 1}, paper=dict(AP=1.0)),
        dict(name='b', train=dict(name='h', options={'model.clip_radius': 2}, start='model'), x=2.0),
    ]
    sound = dict(
        title='t', rows=rows, seeds=[1], frame_stride=2, bootstraps=5, synthetic=dict(videos=1, val_videos=1)
    )
    file = folder / 'study.py'
    mutant = repr(draw(changed_tree(sound))).replace('nan', "float('nan')").replace('inf', "float('inf')")
    file.write_text(f'_base_ = [{DEMO!r}]\nstudy = {mutant}\n', encoding='utf-8', errors='backslashreplace')
    out = folder / 'out'

    def check(jobs: list) -> None:
        for job in jobs:
            inside = job.folder.resolve().is_relative_to(out.resolve()) and job.folder.resolve() != out.resolve()
            fail_unless(inside, f'{job.folder} is outside')

    return verdict_of(lambda: plan([load_study(file)], out), check)


def sources(video: dict, masks: list[dict], category: str) -> dict[str, Any]:
    """One object in the frames of a video, as other formats hold it: what is in a file, by its name."""
    size, names = dict(height=video['height'], width=video['width']), video['file_names']
    box = [[1, 1], [9, 1], [9, 9], [1, 9]]
    return {
        'coco.json': dict(
            images=[dict(id=n, file_name=name, video_id=1, frame_id=n, **size) for n, name in enumerate(names)],
            annotations=[
                dict(id=n, image_id=n, category_id=1, track_id=1, segmentation=m) for n, m in enumerate(masks)
            ],
            categories=[dict(id=1, name='a')],
            videos=[dict(id=1, name='v')],
        ),
        'labelme.json': dict(
            imagePath=names[0],
            imageHeight=size['height'],
            imageWidth=size['width'],
            shapes=[dict(label='a', group_id=1, shape_type='polygon', points=box)],
        ),
        'datumaro.json': dict(
            categories=dict(label=dict(labels=[dict(name='a')])),
            items=[
                dict(
                    id=f'v/{n}',
                    attr=dict(frame=n),
                    image=dict(path=name, size=list(size.values())),
                    annotations=[dict(id=n, type='mask', label_id=0, rle=mask, attributes=dict(track_id=1))],
                )
                for n, (name, mask) in enumerate(zip(names, masks, strict=True))
            ],
        ),
        'sa_v.json': dict(
            video_id='v',
            video_height=size['height'],
            video_width=size['width'],
            masklet=[[mask] for mask in masks],
            masklet_id=[1],
        ),
        f'{Path(names[0]).parent}.json': [
            [dict(name=category, box={}, confidence=0.5, track_id=1, segments=dict(x=[1, 9, 9], y=[1, 1, 9]))]
            for _ in names
        ],
        'table.csv': [
            'video;frame;file_name;video_height;video_width;track_id;category;rle',
            *(f'v;{n};{name};{size["height"]};{size["width"]};1;a;"{mask["counts"]}"'
              for n, (name, mask) in enumerate(zip(names, masks, strict=True))),
        ],
        'mots.txt': [f'{n} 1001 1 {size["height"]} {size["width"]} {m["counts"]}' for n, m in enumerate(masks)],
        'cvat.xml': [
            f'<annotations><meta><task><name>v</name><size>{len(names)}</size><original_size>',
            f'<width>{size["width"]}</width><height>{size["height"]}</height></original_size>',
            '<labels><label><name>a</name></label></labels></task></meta>',
            '<track id="0" label="a" group_id="0">',
            '<polygon frame="0" outside="0" points="1,1;9,1;9,9"></polygon>',
            '<mask frame="1" outside="0" left="1" top="1" width="2" height="2" rle="1, 3"></mask>',
            '</track></annotations>',
        ],
    }  # fmt: skip


def imports(draw: Callable, folder: Path) -> Verdict:
    """What an import accepts, the checker passes."""
    from maskprop.commands.import_annotations import convert, parse_args

    gt = sound_annotations(folder)
    video = gt['videos'][0]
    mask = coco_mask.encode(np.asfortranarray(np.eye(video['height'], video['width'], dtype=np.uint8)))
    masks = [dict(size=mask['size'], counts=mask['counts'].decode())] * len(video['file_names'])
    found = sources(video, masks, gt['categories'][0]['name'])
    name = draw(st.sampled_from(sorted(found)))
    file, out = folder / name, folder / 'imported.json'
    if file.suffix == '.json':
        write_json(file, draw(changed_tree(found[name])))
    else:
        lines = draw(changed_tree(found[name]))
        text = '\n'.join(map(str, lines)) if draw(st.booleans()) else draw(changed_text('\n'.join(found[name])))
        file.write_text(text, encoding='utf-8', errors='surrogatepass')
    images = sound_set(folder) / 'train/JPEGImages'
    args = [str(file), str(out), '--overwrite', '--unannotated', 'absent']
    results = name == f'{Path(video["file_names"][0]).parent}.json'  # of Ultralytics
    args += ['--set', str(sound_set(folder) / 'annotations/train.json')] if results else []
    args += ['--images', str(images / Path(video['file_names'][0]).parent)] if name in FRAMELESS else []

    def check(_: None) -> None:
        if not results:
            errors = [str(problem) for problem in find_problems(out) if problem.severity == 'error']
            fail_unless(not errors, ' '.join(errors[:1]))

    return verdict_of(lambda: convert(parse_args(args)), check)


FRAMELESS = ('sa_v.json', 'mots.txt', 'cvat.xml')
# with the share of mutants that each gets in a long run
TARGETS: dict[str, tuple[Callable[[Callable, Path], Verdict], float]] = dict(
    annotations=(annotations, 0.3),
    results=(results, 0.2),
    zips=(zips, 0.1),
    pictures=(pictures, 0.12),
    videos=(videos, 0.05),
    configs=(configs, 0.05),
    options=(options, 0.08),
    checkpoints=(checkpoints, 0.07),
    studies=(studies, 0.03),
    imports=(imports, 0.1),
)
