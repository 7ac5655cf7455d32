"""``maskprop plot-features`` as a script; ``python tools/plot_features.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('plot-features')
