"""``maskprop eval`` as a script; ``python tools/eval_results.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('eval')
