"""``maskprop doctor`` as a script that works before the package is installed; ``--help`` says what it does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from maskprop.commands import run  # noqa: E402

if __name__ == '__main__':
    run('doctor')
