"""From a training's checkpoint to a file for others, and a card that says what it is."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.utils import get_git_hash
from torch import Tensor

import maskprop
from maskprop.engine.checkpoint import CheckpointError, load_checkpoint_file, saved_classes
from maskprop.engine.config import ConfigError, load_config
from maskprop.engine.foreign_config import check_foreign_config
from maskprop.engine.model_files import PUBLISHED_SUFFIX
from maskprop.engine.published import read_config_text, write_published
from maskprop.utils.files import name_in_errors
from maskprop.zoo.downloads import file_digest

CARD = """---
library_name: maskprop
license: {license}
tags: [video-instance-segmentation]
---

# {name}

Video instance segmentation with maskprop: finds every object of {num_classes} classes in a video,
segments it in each frame and keeps its identity.

```
maskprop infer {file} my_video.mp4 --out out
```

```python
from maskprop.apis import inference_video, init_model

tracks = inference_video(init_model('{file}'), 'my_video.mp4')
```

| | |
|---|---|
| model | {model}, detector {detector}, {parameters:.1f} million parameters |
| training data | {data} |
| training | {epochs} epochs, {iterations} iterations |
| revision of maskprop | {revision} |
| SHA-256 | `{digest}` |
| licence | {license} |

## Results

{metrics}

## Classes

{classes}

The file holds weights, config, classes and metrics, and no code. Its name ends in the first digits of its SHA-256.
"""


def publish_model(
    checkpoint: str | Path,
    out: str | Path,
    *,
    config: str | Path | None = None,
    metrics: str | Path | None = None,
    license: str = 'unknown',
    half: bool = False,
) -> tuple[Path, Path]:
    """Write a checkpoint's weights with all that is needed to use them.

    Args:
        checkpoint: what ``maskprop train`` wrote.
        out: ``FOLDER/NAME``; the files are ``NAME-DIGEST.safetensors`` and ``NAME-DIGEST.md``.
        config: of the training; None: the text in the checkpoint.
        metrics: what ``maskprop test --metrics`` wrote.
        license: of the weights, for the card.
        half: store the weights in half precision, but for biases and norms: half the size.

    Returns:
        the two files.

    Raises:
        FileNotFoundError, CheckpointError: no such checkpoint; it has no weights, config or classes.
        ConfigError: ``config`` cannot be read.
        OSError, ValueError: ``metrics`` cannot be read, or the files not be written.
    """
    loaded = load_checkpoint_file(checkpoint)
    if not isinstance(loaded, Mapping) or not isinstance(loaded.get('state_dict'), Mapping):
        raise CheckpointError(f'checkpoint {checkpoint}: has no state_dict, which maskprop train writes')
    meta = loaded.get('meta') or {}
    cfg = dict(load_config(config).to_dict()) if config else _config_of(meta, checkpoint)
    try:
        check_foreign_config(cfg)
    except ValueError as error:  # said now, not to those who load it
        raise ConfigError(f'the config of {checkpoint}: {error}') from error
    dataset_meta = saved_classes(loaded)
    if not dataset_meta.get('classes'):
        raise CheckpointError(f'checkpoint {checkpoint}: does not say what its classes are (meta/dataset_meta)')
    found = json.loads(Path(metrics).read_text(encoding='utf-8')) if metrics else {}
    weights = {name.removeprefix('module.'): value for name, value in loaded['state_dict'].items()}
    if half:
        weights = {name: _halved(value) for name, value in weights.items()}
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    revision = f'{maskprop.__version__}, {get_git_hash(digits=8)}'
    with tempfile.TemporaryDirectory(dir=out.parent) as folder, name_in_errors(out, folder):
        written, card = Path(folder, 'weights'), Path(folder, 'card')
        write_published(
            written, weights, cfg, dataset_meta, metrics=json.dumps(_plain_metrics(found)), revision=revision
        )
        digest = file_digest(written)
        target = out.with_name(f'{out.name}-{digest[:8]}{PUBLISHED_SUFFIX}')
        text = _card(target.name, out.name, cfg, meta, weights, dataset_meta, found, license, revision, digest)
        card.write_text(text, encoding='utf-8')
        written.replace(target)
        card.replace(target.with_suffix('.md'))
    return target, target.with_suffix('.md')


def _halved(weight: Tensor) -> Tensor:
    """In half precision if it has two dimensions or more: what is left out is small, and may be large in value."""
    return weight.half() if weight.ndim > 1 and weight.is_floating_point() else weight


def _config_of(meta: Mapping[str, Any], checkpoint: str | Path) -> dict[str, Any]:
    text = meta.get('cfg')
    if not isinstance(text, str) or not text:
        raise CheckpointError(f'checkpoint {checkpoint}: has no config (meta/cfg). Name it: --config CONFIG')
    try:
        return read_config_text(text)
    except ValueError as error:
        raise ConfigError(f'checkpoint {checkpoint}, meta/cfg: {error}. Name it: --config CONFIG') from error


def _plain_metrics(found: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def _card(
    file: str,
    name: str,
    cfg: Mapping[str, Any],
    meta: Mapping[str, Any],
    weights: Mapping[str, Any],
    dataset_meta: Mapping[str, list],
    metrics: Mapping[str, Any],
    license: str,
    revision: str,
    digest: str,
) -> str:
    model = cfg.get('model', {})
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    rows = [f'| {key} | {value:.4g} |' for key, value in _plain_metrics(metrics).items()]
    return CARD.format(
        file=file,
        name=name,
        num_classes=len(dataset_meta['classes']),
        model=model.get('type', 'unknown'),
        detector=(model.get('detector') or {}).get('type', 'none'),
        parameters=sum(value.numel() for value in weights.values()) / 1e6,
        data=Path(dataset.get('data_root') or '').name or 'unknown',
        epochs=meta.get('epoch', 'unknown'),
        iterations=meta.get('iter', 'unknown'),
        revision=revision,
        digest=digest,
        license=license,
        metrics='\n'.join(['| metric | value |', '|---|---|', *rows]) if rows else 'Not measured.',
        classes=', '.join(dataset_meta['classes']),
    )
