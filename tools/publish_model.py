"""``maskprop publish`` as a script; ``python tools/publish_model.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('publish')
