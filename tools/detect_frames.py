"""``maskprop detect`` as a script; ``python tools/detect_frames.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('detect')
