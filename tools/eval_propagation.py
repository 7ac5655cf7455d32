"""``maskprop eval-propagation`` as a script; ``python tools/eval_propagation.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('eval-propagation')
