"""``maskprop extract`` as a script; ``python tools/extract_frames.py --help`` says what it does."""

from maskprop.commands import run

if __name__ == '__main__':
    run('extract')
