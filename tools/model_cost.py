"""``maskprop cost`` as a script; ``python tools/model_cost.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('cost')
