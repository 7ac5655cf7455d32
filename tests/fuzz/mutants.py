"""Mutants: sound content with one to three changes, of its structure or of its bytes; drawn by hypothesis."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

HUGE = 10**400
ODD_VALUES = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 5, 2**31, 2**63, -(2**63), HUGE, 0.5, -0.5, 1e300, float('nan')]
        + [float('inf'), '', 'x', '0', 'None', '\n', '\0', '..', '/', 'é', '狗', '\ud800', 'a' * 300]
        + [[], {}, [[]], [None], [0], [1, 2], ['x'], {'a': 1}, {'counts': 'x', 'size': [1, 1]}, [0.0] * 8]
    ).map(deepcopy),  # the next change may be inside of it
    st.integers(-1000, 1000),
    st.floats(),
    st.text(max_size=8),
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Paths of all that is inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, entry in inside:
        found.append((*path, key))
        found += places(entry, (*path, key))
    return found


@st.composite
def changed_tree(draw: Any, sound: Any) -> Any:
    """A tree of dicts and lists with one to three changes."""
    tree = deepcopy(sound)
    for _ in range(draw(st.sampled_from((1, 1, 2, 3)))):
        known = places(tree)
        if not known:
            break
        # by depth first, or the many entries deep down would get all changes
        depth = draw(st.sampled_from(sorted({len(path) for path in known})))
        path = draw(st.sampled_from([path for path in known if len(path) == depth]))
        _change(draw, tree, path)
    return tree


def _change(draw: Any, tree: Any, path: tuple) -> None:
    owner = tree
    for key in path[:-1]:
        owner = owner[key]
    key = path[-1]
    kind = draw(st.sampled_from(('near', 'near', 'near', 'set', 'delete', 'rename', 'extra', 'twice', 'swap')))
    if kind == 'delete':
        del owner[key]
    elif kind == 'rename' and isinstance(owner, dict) and isinstance(key, str):
        owner[key + 'x'] = owner.pop(key)
    elif kind == 'extra' and isinstance(owner, dict):
        owner[draw(st.text(max_size=4))] = draw(ODD_VALUES)
    elif kind == 'twice' and isinstance(owner, list):
        owner.append(deepcopy(owner[key]))
    elif kind == 'swap':
        other = draw(st.sampled_from(sorted(owner, key=str) if isinstance(owner, dict) else range(len(owner))))
        owner[key], owner[other] = owner[other], owner[key]
    elif kind == 'near' and isinstance(owner[key], str) and owner[key]:
        owner[key] = draw(changed_text(owner[key]))
    elif kind == 'near' and isinstance(owner[key], int | float) and not isinstance(owner[key], bool):
        owner[key] += draw(st.sampled_from((1, -1, 0.5, 2**32)))
    else:
        owner[key] = draw(ODD_VALUES)


@st.composite
def changed_text(draw: Any, text: str) -> str:
    """A text of which a character is another, or missing."""
    place = draw(st.integers(0, len(text) - 1))
    new = draw(st.sampled_from(text) | st.text(max_size=1))  # mostly of the same kind, as the digits of an RLE
    return text[:place] + new + text[place + 1 :]


@st.composite
def changed_bytes(draw: Any, content: bytes) -> bytes:
    """A file that is cut, or of which some bytes are others; half of them in its first hundred, the header."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        if not changed:
            break
        last = len(changed) - 1
        place = draw(st.one_of(st.integers(0, min(100, last)), st.integers(0, last)))
        kind = draw(st.sampled_from(('set', 'set', 'set', 'cut', 'drop', 'repeat')))
        if kind == 'set':
            changed[place] = draw(st.integers(0, 255))
        elif kind == 'cut':
            del changed[place:]
        elif kind == 'drop':
            del changed[place : place + draw(st.integers(1, 8))]
        else:
            changed[place:place] = changed[place : place + draw(st.integers(1, 64))]
    return bytes(changed)
