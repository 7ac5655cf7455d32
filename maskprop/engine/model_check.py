"""A config's model, and the streams that it is to start, tried without weights and data before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from maskprop.engine.build_errors import UNKNOWN, describe_error, explain_build_errors
from maskprop.engine.config import ConfigError
from maskprop.engine.config_parts import closest, registered
from maskprop.engine.num_classes import fill_num_classes
from maskprop.utils.errors import UserError


def check_model(cfg: Config, streams: Mapping[str, Mapping[str, Any]]) -> None:
    """Build the model of a config, and let it start a video with each set of options.

    Args:
        cfg: its model gets the number of classes that it lacks, in place.
        streams: keyword arguments of ``start_video`` by their place in the config, for messages.

    Raises:
        ConfigError: the model cannot be built, or a stream cannot be started; it names the key.
        ImportError: a stream needs an optional library that is missing.
    """
    import maskprop

    maskprop.register_all()
    from mmdet.registry import MODELS

    fill_num_classes(cfg.model, cfg.model.get('num_classes') or 1)
    with explain_build_errors(cfg, values=True):
        model = MODELS.build(cfg.model)
    for place, options in streams.items() if hasattr(model, 'start_video') else ():
        try:
            model.start_video(**options)
        except (UserError, ImportError):
            raise
        except Exception as error:  # whatever a part says of a value
            raise ConfigError(f'config {cfg.filename}: {place}: {_words(error)}') from error


def _words(error: Exception) -> str:
    text = str(error.args[0]) if error.args else ''
    if match := UNKNOWN.match(text):
        return f'there is no {match[2]} {match[1]!r}{closest(match[1], registered(match[2]))}'
    return 'a dict without a type' if 'must contain the key "type"' in text else describe_error(error)
