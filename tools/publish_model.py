"""Make a file for others out of a training's checkpoint: weights, config, classes and metrics, and a card.

Run:
    python tools/publish_model.py work_dirs/NAME/epoch_12.pth published/my_model --metrics metrics.json

Writes published/my_model-DIGEST.safetensors, which tools and init_model take in place of CONFIG CHECKPOINT, and
published/my_model-DIGEST.md. Optimizer and training state are left out. More: docs/model_zoo.md
"""

from __future__ import annotations

import argparse

from maskprop.engine import cli


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='what tools/train.py wrote')
    parser.add_argument('out', metavar='OUT', help='FOLDER/NAME of the files, to which their digest is added')
    parser.add_argument('--config', help='of the training (default: the one in the checkpoint)')
    parser.add_argument('--metrics', metavar='METRICS.json', help='what tools/test.py --metrics wrote')
    parser.add_argument('--license', default='unknown', help='of the weights, for the card')
    return parser.parse_args()


def publish(args: argparse.Namespace) -> None:
    from maskprop.apis.publish import publish_model

    files = publish_model(
        args.checkpoint, args.out, config=args.config, metrics=args.metrics, license=args.license
    )
    print('\n'.join(f'wrote {file}' for file in files))


if __name__ == '__main__':
    cli.run(publish, parse_args)
