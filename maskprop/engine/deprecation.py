"""What has another name now and still works: configs for a time, weights of checkpoints always (CONTRIBUTING)."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# Beginning of the names of weights in checkpoints of earlier versions -> what it is now, as in
# 'propagation_head.reduce.': 'propagation_head.project.'
RENAMED_WEIGHTS: dict[str, str] = {}
_OLD_CONFIG = re.compile(r'The config file (?P<file>.+) will be deprecated in the future\.(?P<instead>.*)')


def with_current_names(content: Any) -> Any:
    """A checkpoint's content in which weights of earlier names have those of today; changed in place."""
    weights = content.get('state_dict') if isinstance(content, Mapping) else None
    if isinstance(weights, dict):
        for old, new in RENAMED_WEIGHTS.items():
            for name in [name for name in weights if str(name).startswith(old)]:
                weights[new + name.removeprefix(old)] = weights.pop(name)
    return content


@contextmanager
def telling_of_old_configs() -> Iterator[None]:
    """Say of configs with ``_deprecation_`` what mmengine says by a warning that Python does not show."""
    with warnings.catch_warnings():
        warnings.filterwarnings('always', _OLD_CONFIG.pattern, DeprecationWarning)
        show = warnings.showwarning

        def show_old_configs(message: Warning | str, *args: Any, **kwargs: Any) -> None:
            if old := _OLD_CONFIG.match(str(message)):
                print(f'warning: config {old["file"]} is deprecated.{old["instead"]}', file=sys.stderr)
            else:
                show(message, *args, **kwargs)

        warnings.showwarning = show_old_configs
        yield
