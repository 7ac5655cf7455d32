"""``maskprop infer`` as a script; ``python tools/infer_video.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('infer')
