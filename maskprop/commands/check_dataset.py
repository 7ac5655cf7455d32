"""List every problem of an annotation file in YouTube-VIS format, and what is in it.

    maskprop check data/youtube_vis_2019/annotations/train.json \\
        --images data/youtube_vis_2019/train/JPEGImages

Exits 1 if there are errors; warnings are things that the project copes with in the way they say.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

from maskprop.datasets.ytvis_json import Problem, find_problems, load_ytvis, summarize
from maskprop.utils.text import escaped, one_line, plural


def main() -> int:
    """Do ``maskprop check``; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('gt', help='annotation file in YouTube-VIS format')
    parser.add_argument('--images', help='folder that file_names are relative to: also look for every frame')
    parser.add_argument('--decode', action='store_true', help='also decode the frames, which finds damaged files')
    parser.add_argument('--all-warnings', action='store_true', help='print more than five warnings of a kind')
    args = parser.parse_args()

    if args.decode and not args.images:
        parser.error('--decode: give the folder of the frames by --images')

    problems = find_problems(args.gt, args.images, args.decode)
    errors = [problem for problem in problems if problem.severity == 'error']
    for problem in errors:
        print(escaped(f'error [{problem.rule}] {problem}'))
    warnings = [problem for problem in problems if problem.severity == 'warning']
    print_warnings(warnings, None if args.all_warnings else 5)
    if not any(not problem.rule.startswith('image-') for problem in errors):
        print_summary(args.gt)
    print(f'{escaped(args.gt)}: {plural(len(errors), "error")}, {plural(len(warnings), "warning")}')
    return 1 if errors else 0


def print_warnings(warnings: list[Problem], most: int | None) -> None:
    """Prints the first `most` warnings of each rule and counts the rest."""
    by_rule: dict[str, list[Problem]] = defaultdict(list)
    for problem in warnings:
        by_rule[problem.rule].append(problem)
    for rule, found in by_rule.items():
        for problem in found[:most]:
            print(escaped(f'warning [{rule}] {problem}'))
        if most is not None and len(found) > most:
            print(f'warning [{rule}] and {len(found) - most} more (--all-warnings)')


def print_summary(path: str) -> None:
    """Prints what a file without errors holds."""
    gt = load_ytvis(path)
    counts = summarize(gt)
    print(', '.join(plural(counts[f'{name}s'], name) for name in ('video', 'frame')), end=', ')
    print(plural(counts['categories'], 'category'))
    if gt['annotations'] is None:
        print('no annotations: for a submission only')
        return
    print(
        f'{counts["instances"]} instances ({counts["crowd"]} crowd, {counts["box_only"]} with boxes only), '
        f'{counts["masks"]} masks'
        + (f', {counts["null_share"]:.1%} of the frames of an instance without one' if counts['instances'] else '')
    )
    for name, count in counts['per_category'].items():
        print(f'  {one_line(name)}: {count}')
