"""Optional methods that do for several what another does for one."""

from __future__ import annotations

from typing import Any


def takes_many(part: Any, one: str, many: str) -> bool:
    """Whether a part's method ``many`` does for several what its method ``one`` does.

    It does not where a subclass, or the object itself, has another ``one`` and still its parent's ``many``.
    """
    for names in (getattr(part, '__dict__', {}), *map(vars, type(part).__mro__)):
        if many in names:
            return True
        if one in names:
            return False
    return False
