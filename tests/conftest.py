"""Settings of every test: one thread each, because small operations on several stall when the machine is busy."""

import copy
import functools
import gc
import itertools
import os
import re
from pathlib import Path
from typing import Any

for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):  # inherited by the processes that tests start
    os.environ[name] = '1'

import pytest  # noqa: E402  after the environment is set
import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.config import utils as config_utils  # noqa: E402

torch.set_num_threads(1)
# With each base config of mmdet, mmengine reads the list of mmdet's models anew: 70 YAML files, about a second.
config_utils.load = functools.cache(config_utils.load)
# The tests read the configs, ours and mmdet's, hundreds of times, and change none of these files.
CONFIGS = Path(__file__).parents[1] / 'configs'
_read_config = Config._file2dict
_read_config_once = functools.cache(_read_config)


def read_config(filename: str, *arguments: Any, **keywords: Any) -> Any:
    """mmengine's reading of a config file and those below it, once for each file that no test writes."""
    path = Path(filename).absolute()
    if path.is_relative_to(CONFIGS) or '.mim' in path.parts:
        return copy.deepcopy(_read_config_once(str(path), *arguments, **keywords))
    return _read_config(filename, *arguments, **keywords)


Config._file2dict = staticmethod(read_config)
SLOW_FILE = re.compile(r'^pytestmark = .*pytest\.mark\.slow\b', re.MULTILINE)
WORKER_BYTES = 2 * 2**30  # a worker imports torch and mmdet (1 GB), and its tests start processes of their own
MOST_WORKERS = 8  # more are not faster: each imports and collects everything first


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Workers of ``-n auto``: one a core, as far as memory reaches, or what the variable says."""
    if os.environ.get('PYTEST_XDIST_AUTO_NUM_WORKERS'):
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return max(1, min(cores, memory // WORKER_BYTES, MOST_WORKERS))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The fast tests do without the imports of files that are slow as a whole."""
    if config.option.markexpr != 'not slow' or collection_path.suffix != '.py':
        return None
    named = {(config.invocation_params.dir / arg.partition('::')[0]).resolve() for arg in config.args}
    slow = collection_path not in named and SLOW_FILE.search(collection_path.read_text(encoding='utf-8'))
    return True if slow else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that share a fixture of their file are run by one worker, so that it is made once."""
    for item in items:
        fixtures = itertools.chain.from_iterable(item._fixtureinfo.name2fixturedefs.values())
        if not item.get_closest_marker('xdist_group') and any(f.scope == 'module' for f in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        mark = item.get_closest_marker('xdist_group')
        # pytest-xdist 3.8 writes the group where pytest 9.2 no longer looks (its issue 1386), and groups nothing
        if mark and config.getoption('loadgroup', False) and hasattr(item, '_id'):
            item._id = type(item._id).parse(f'{item.nodeid}@{mark.args[0]}')


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collections: mmengine asks for one with each data set it builds."""
    gc.collect()
    gc.freeze()
