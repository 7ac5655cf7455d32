"""Print the models with published weights: name, data set and result as published, and where it says so.

Run:
    python -m maskprop.zoo
"""

from __future__ import annotations

from maskprop.zoo import find_model, list_models


def main() -> None:
    """Print the table."""
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


if __name__ == '__main__':
    main()
