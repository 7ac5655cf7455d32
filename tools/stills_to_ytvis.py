"""``maskprop stills`` as a script; ``python tools/stills_to_ytvis.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('stills')
