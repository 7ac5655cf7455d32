"""Print the models with published weights: name, data set and result as published, and the page that says so.

maskprop models
maskprop infer mask_rcnn_r50_coco my_video.mp4 --out out       # a name stands for config and weights
"""

from __future__ import annotations

import argparse

from maskprop.zoo import find_model, list_models


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop models``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    return parser.parse_args(argv)


def main() -> None:
    """Do ``maskprop models``."""
    parse_args()
    rows = []
    for name in list_models():
        info = find_model(name)
        if info is None:
            rows.append((name, 'not taken: a file here has this name', ''))
            continue
        results = ', '.join(f'{dataset} {metric} {value}' for dataset, metric, value in info.results)
        rows.append((name, results or 'no results published', info.source))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for name, results, source in rows:
        print(f'{name:{widths[0]}}  {results:{widths[1]}}  {source}')
