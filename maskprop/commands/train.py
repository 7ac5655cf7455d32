"""Train a model, in one process or many, with validation by video AP.

    maskprop train CONFIG --auto-scale-lr
    maskprop train CONFIG --data data/my_videos        # your own data: docs/data.md
    maskprop train CONFIG --resume                     # continue after an interruption
    bash tools/dist_train.sh CONFIG 8 --auto-scale-lr  # 8 processes on this machine
    maskprop train CONFIG --cfg-options optim_wrapper.optimizer.lr=0.01

Checkpoints and logs go to work_dirs/CONFIG. --resume continues from the last checkpoint, also inside an epoch if
checkpoints are saved by iteration, and reaches the weights of an uninterrupted training, bit for bit.
"""

from __future__ import annotations

from maskprop.engine import cli


def main() -> None:
    """Do ``maskprop train``."""
    cli.train(cli.train_parser(__doc__).parse_args())
