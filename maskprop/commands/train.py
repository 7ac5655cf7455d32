"""Train a model, on one process or many, with validation by video AP after each epoch.

    maskprop train configs/maskprop/CONFIG.py --auto-scale-lr
    maskprop train CONFIG.py --resume                      # continue after an interruption
    bash tools/dist_train.sh CONFIG.py 8 --auto-scale-lr          # 8 processes on this machine
    maskprop train CONFIG.py --cfg-options optim_wrapper.optimizer.lr=0.01

Checkpoints and logs go to work_dirs/CONFIG. What was interrupted inside an epoch resumes at the next batch and
reaches the weights of an uninterrupted training, bit for bit, where checkpoints are saved by iteration.
"""

from __future__ import annotations

from maskprop.engine import cli


def main() -> None:
    cli.train(cli.train_parser(__doc__).parse_args())
