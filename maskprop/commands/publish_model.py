"""Make a file for others out of a training's checkpoint: weights, config, classes and metrics, and a card.

Run:
    maskprop publish work_dirs/NAME/epoch_12.pth published/my_model --metrics metrics.json

Writes published/my_model-DIGEST.safetensors, which tools and init_model take in place of CONFIG CHECKPOINT, and
published/my_model-DIGEST.md. Optimizer and training state are left out. More: docs/model_zoo.md
"""

from __future__ import annotations

import argparse

from maskprop.engine.model_files import local_checkpoint


def parse_args() -> argparse.Namespace:
    """Arguments of ``maskprop publish``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='what maskprop train wrote')
    parser.add_argument('out', metavar='OUT', help='FOLDER/NAME of the files, to which their digest is added')
    parser.add_argument('--config', help='of the training (default: the one in the checkpoint)')
    parser.add_argument('--metrics', metavar='METRICS.json', help='what maskprop test --metrics wrote')
    parser.add_argument('--half', action='store_true', help='store the weights in half precision: half the size')
    parser.add_argument('--license', default='unknown', help='of the weights, for the card')
    return parser.parse_args()


def publish(args: argparse.Namespace) -> None:
    """Write weights and card as the arguments say."""
    local_checkpoint(args.checkpoint)
    from maskprop.apis.publish import publish_model

    files = publish_model(
        args.checkpoint,
        args.out,
        config=args.config,
        metrics=args.metrics,
        license=args.license,
        half=args.half,
    )
    print('\n'.join(f'wrote {file}' for file in files))


def main() -> None:
    """Do ``maskprop publish``."""
    publish(parse_args())
