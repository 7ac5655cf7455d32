"""torch.compile of named parts of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from maskprop.engine.config import ConfigError

PARTS = ('detector.backbone', 'propagation_head.forward_pairs', 'propagation_head.encode_features')


@HOOKS.register_module()
class CompilePartsHook(Hook):
    """Compiles parts of the model in place before training; mmengine's own ``compile`` key takes the whole step.

    The names of the weights stay as they are, so checkpoints of compiled and other models are alike.

    Args:
        parts: names of submodules, or of their methods, as the model has them: ``'detector.backbone'``. A
            module's name means its ``forward``.
        **options: of ``torch.compile``: ``backend``, ``mode``, ``dynamic``, ...

    Raises:
        ConfigError: ``parts`` is a single name; at the start of training: the model has no such part.
    """

    def __init__(self, parts: Sequence[str] = PARTS, **options: Any) -> None:
        if isinstance(parts, str):
            raise ConfigError(f'parts={parts!r}: expected a list of names')
        self.parts = tuple(parts)
        self.options = options

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        compile_parts(model, self.parts, **self.options)
        runner.logger.info(f'compiled: {", ".join(self.parts)}. The first iterations take longer')


def compile_parts(model: nn.Module, parts: Sequence[str] = PARTS, **options: Any) -> None:
    """Compile parts of a model in place; arguments and errors as of :class:`CompilePartsHook`."""
    for name in parts:
        owner_name, _, last = name.rpartition('.')
        try:
            owner = model.get_submodule(owner_name)
            part = getattr(owner, last)
        except AttributeError:
            raise ConfigError(f'parts: the model has no {name!r} to compile') from None
        if isinstance(part, nn.Module):
            part.compile(**options)
        elif callable(part):
            setattr(owner, last, torch.compile(part, **options))
        else:
            raise ConfigError(f'parts: {name!r} is neither a module nor a method, but {part!r}')
