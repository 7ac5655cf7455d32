"""docs/methods/masktrack_rcnn.md agrees with the config, and its snippet of mmdet's values with the classes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import maskprop

maskprop.register_all()

from mmengine.config import Config  # noqa: E402

from tests.test_docs import config_value  # noqa: E402

TEXT = Path('docs/methods/masktrack_rcnn.md').read_text(encoding='utf-8')
CONFIG = Config.fromfile('configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py')


def test_table_of_departures_agrees_with_the_config():
    """The first `literal` of the column "here" is the config's value of the key, or the class's default."""
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in TEXT.splitlines() if line.startswith('|')]
    rows = [row for row in rows if len(row) == 5 and row[-1].startswith('`model.') and '`' in row[3]]
    assert len(rows) > 9
    for question, _, _, here, key in rows:
        said = ast.literal_eval(re.search(r'`([^`]+)`', here)[1])
        assert said == config_value(CONFIG, key.strip('`')), question
