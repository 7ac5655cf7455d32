"""A dict to be merged into what is none, a list say: mmengine's error names neither the place nor what to do."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config


def explain_options(error: BaseException) -> str | None:
    """Why an option could not be merged into a config, and what to write; None: for another reason."""
    clash = _clash(error)
    if clash is None:
        return None
    place, found, given = clash
    owner, _, last = place.rpartition('.')
    # mmengine merges into entries of lists, and these must be dicts
    dicts = [index for index, entry in enumerate(found) if isinstance(entry, Mapping)] if _is_list(found) else []
    if dicts and isinstance(found, list):
        how = f'Give a whole list, or name an entry, as {place}.{dicts[0]}'
    elif _is_list(found) or last.isdigit():
        how = f'Give a whole list, {place if _is_list(found) else owner}=[...]'
    else:
        how = f'To have a dict there, set {place}._delete_=True too'
    return f'it has {_shown(found)} at {place}, found {given!r:.80}. {how}'


def explain_file(error: BaseException, config: Path) -> str | None:
    """Why a config file could not be merged into its ``_base_``, and what to write; None: for another reason."""
    clash = _clash(error)
    if clash is None:
        return None
    place, found, given = clash
    names = [frame.f_locals['filename'] for frame in _frames(error, Config._file2dict)]
    where = f'{names[-1]}: ' if names and Path(names[-1]).resolve() != config.resolve() else ''
    last = place.rpartition('.')[2]
    how = f'Write a whole list, {last}=[...]'
    if not _is_list(found):
        how = f'To have a dict there, write {last}=dict(_delete_=True, ...)'
    return f'{where}{place}: its _base_ has {_shown(found)} there, found {given!r:.80}. {how}'


def _shown(found: Any) -> str:
    return f'a list of length {len(found)}' if _is_list(found) else f'{found!r:.80}'


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _clash(error: BaseException) -> tuple[str, Any, Any] | None:
    """Dotted key, what the config has there, and the dict that was being merged into it, of an error."""
    merges = [frame.f_locals for frame in _frames(error, Config._merge_a_into_b)]
    if not merges:
        return None
    path, last = [str(merge['k']) for merge in merges if 'k' in merge], merges[-1]
    found, given = last['b'], last['a']
    if isinstance(found, Mapping) and 'k' in last:
        found, given = found.get(last['k']), last['v']
    elif 'k' in last:  # a key of a list, which is the place
        path.pop()
    return None if isinstance(found, Mapping) else ('.'.join(path), found, given)


def _frames(error: BaseException, function: Any) -> list[Any]:
    """Those of a function that an error came through, the innermost last."""
    code = function.__code__
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code is code]
