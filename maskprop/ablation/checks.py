"""Rows, configs and options of a study that would fail, or change nothing, only after hours of training."""

from __future__ import annotations

from mmengine.config import Config

from maskprop.ablation.settings import TEST, TRAINING, differences, training_settings
from maskprop.ablation.study import Row, Study
from maskprop.engine.config import OPTIONAL_KEYS, ConfigError, read_config_file
from maskprop.engine.config_types import check_types, stream_faults

# where options of a row, or of a training and its test, have an effect
_OF_TESTS = {*TEST, 'env_cfg', 'test_evaluator'}
_OF_TRAININGS = {
    *_OF_TESTS, *TRAINING, 'compile', 'default_hooks', 'find_unused_parameters', 'log_processor',
    'model_wrapper_cfg', 'sync_bn',
}  # fmt: skip


def read_whole(config: str) -> Config:
    """A config of a training; its types are checked here, before others are trained for hours.

    Raises:
        ConfigError: it cannot be read, has a wrong value, or is not whole.
    """
    cfg = read_config_file(config)
    check_types(cfg, runs=False)
    check_whole(cfg, config)
    return cfg


def check_whole(cfg: Config, config: str) -> None:
    """See that a config has all that a training and its test need.

    Raises:
        ConfigError: the config has no such key, or is a study.
    """
    if 'study' in cfg:
        raise ConfigError(f'config {config}: is a study; name a config, of which its rows are variants')
    for key in ('model', 'train_cfg', 'train_dataloader', 'optim_wrapper', 'test_dataloader'):
        if not cfg.get(key):
            raise ConfigError(
                f'config {config}: {key} is not set, but a study trains and tests. Inherit a whole config'
            )
    dataset = cfg.test_dataloader.get('dataset') or {}
    for key in ('datasets', 'dataset'):
        if key in dataset:
            raise ConfigError(
                f'config {config}: test_dataloader.dataset is a {dataset.get("type")}, but a study tests on a '
                f'single set: set test_dataloader.dataset to what is in its {key}'
            )
    if not (cfg.train_cfg.get('max_epochs') or cfg.train_cfg.get('max_iters')):
        raise ConfigError(f'config {config}: train_cfg: neither max_epochs nor max_iters is set')


def check_row(study: Study, row: Row) -> None:
    """See that a row's configs are whole, and that its variant has arguments of the model's streams only.

    Raises:
        ConfigError: with file, row and key.
    """
    where = f'{study.file}: row {row.name}'
    trainings = [training for training in (row.train, row.train and row.train.after) if training]
    nets = [
        config for named in (row.nets, *(training.nets for training in trainings)) for config in named.values()
    ]
    try:
        for config in (*nets, *(training.config for training in trainings if training.config)):
            read_whole(config)
        model = (read_whole(row.config) if row.config else study.cfg).model
    except ConfigError as error:
        raise ConfigError(f'{where}: {error}') from error
    fault = next(stream_faults(model, row.variant, 'variant'), None)
    if fault:
        raise ConfigError(f'{where}: {fault}')


def without_effect(key: str, of_test: bool, own_data: bool) -> str | None:
    """Why an option would change nothing in what a study makes.

    Args:
        key: of the config. of_test: it is of a row's test, else of a training and its test. own_data: the study
            takes the data of the config.

    Returns:
        the reason; None: it changes something.
    """
    names = key.split('.')
    if key == 'load_from':
        return "a training's weights are those of start and after"
    if names[-1] == 'data_root' and not own_data:
        return 'the study makes its set; synthetic=None takes that of the config'
    if names[0] == 'variants':
        return "a row's stream is set by variant=dict(...)"
    if names[0] in OPTIONAL_KEYS - (_OF_TESTS if of_test else _OF_TRAININGS):
        return f'has no effect on {"a test" if of_test else "a training and its test"}'
    if of_test and ('train_cfg' in names or key == 'model.frozen'):
        return 'has no effect on a test; put it into the options of train'
    return None


def unused_settings(study: Study) -> list[str]:
    """'train_cfg.max_epochs: 8 before, now 1', of a study's own settings of trainings, if it has none of these.

    The detector is trained as its own config says, and a row with a config as that.
    """
    if any(row.config is None and row.train and row.train.config is None for row in study.rows):
        return []
    own, detector = training_settings(study.cfg), training_settings(read_config_file(study.detector))
    for settings in (own, detector):
        settings.pop('model', None)  # tests have the study's
    return differences(detector, own)
