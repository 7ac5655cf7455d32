"""Reference numbers of other projects' codes, computed anew by this project's modules; one module a method.

``maskprop verify-goldens METHOD DIR`` finds the module by its name. A module has

* ``compare(case, state) -> dict[str, Compared]``: every output array of a case by name, ours and the reference's;
* ``INPUTS``: a compiled pattern of the names in a case that are not compared.

Modules whose names begin with ``_`` are parts of theirs.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def methods() -> list[str]:
    """The methods that have reference numbers."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith('_'))


def load_method(name: str) -> ModuleType:
    """The module of a method, one of :func:`methods`."""
    return importlib.import_module(f'{__name__}.{name}')
