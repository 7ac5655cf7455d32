"""Downloads from a server on the loopback address: cached, whole, checked, by one process at a time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from maskprop.zoo.downloads import DownloadError, cache_folder, digest_of_name, download

CONTENT = bytes(range(256)) * 1200
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAMED = f'/weights-{DIGEST[:8]}.pth'


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.served.append(self.path)
        wanted = self.headers.get('Range')
        self.server.ranges.append(wanted)
        start = int(wanted[len('bytes=') : -1]) if wanted and self.server.resumes else 0
        if start >= len(CONTENT) or 'absent' in self.path:
            self.send_response(416 if start else 404)
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}')
        if self.server.sized:
            self.send_header('Content-Length', str(len(CONTENT) - start))
        self.end_headers()
        self.server.release.wait(10)
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        self.wfile.write(CONTENT[start:][:cut])
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr('torch.hub._hub_dir', None)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    found = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    found.cuts, found.served, found.ranges, found.release = [], [], [], threading.Event()
    found.resumes = found.sized = True
    found.release.set()
    found.url = f'http://127.0.0.1:{found.server_port}'
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def files() -> list[str]:
    return sorted(path.name for path in cache_folder().iterdir())


@pytest.mark.parametrize(
    'path, digest',
    [(NAMED, None), ('/a.pth', DIGEST), ('/a.pth', None), ('/a%20b.pth', None)],
    ids=['named', 'digest', 'plain', 'quoted'],
)
def test_a_file_is_downloaded_once(server, path, digest):
    for _ in range(2):
        file = download(server.url + path, digest, progress=False)
        assert file.read_bytes() == CONTENT
    assert server.served == [path] and files() == [file.name]
    assert '%' not in file.name


@pytest.mark.parametrize(
    'path, resumes, ranges',
    [
        (NAMED, True, [None, 'bytes=100000-', 'bytes=200000-']),
        (NAMED, False, [None, 'bytes=100000-']),  # the server sends the whole in place of the rest
        ('/a.pth', True, [None, None]),  # nothing would tell if the pieces fit
    ],
    ids=['resumed', 'whole', 'no digest'],
)
def test_a_download_that_is_cut_goes_on(server, path, resumes, ranges):
    server.cuts, server.resumes = [100_000] * (len(ranges) - 1), resumes
    assert download(server.url + path, progress=False).read_bytes() == CONTENT
    assert server.ranges == ranges and files() == [path[1:]]


def test_a_cut_goes_unseen_without_size_but_not_without_digest(server):
    server.sized, server.cuts = False, [100_000]
    assert download(server.url + NAMED, progress=False).read_bytes() == CONTENT
    assert server.ranges == [None, None]  # another digest: begun anew


@pytest.mark.parametrize('path', [NAMED, '/a.pth'], ids=['digest', 'size'])
def test_a_download_that_is_always_cut_is_an_error_and_leaves_no_file(server, path):
    server.cuts = [100_000] + [0] * 5
    with pytest.raises(DownloadError, match=rf'cannot download {server.url}.*cut.*put it at .*{Path(path).name}'):
        download(server.url + path, progress=False)
    assert files() == ([f'{NAMED[1:]}.partial'] if path == NAMED else [])
    server.cuts = []
    assert download(server.url + path, progress=False).read_bytes() == CONTENT
    assert server.ranges[-1] == ('bytes=100000-' if path == NAMED else None)
    assert files() == [path[1:]]


@pytest.mark.parametrize('left', [b'half', b'0' * 300_000, b'0' * 300_001], ids=['short', 'whole', 'long'])
def test_pieces_of_another_file_are_thrown_away(server, left):
    cache_folder().mkdir(parents=True)
    (cache_folder() / f'{NAMED[1:]}.partial').write_bytes(left)
    assert download(server.url + NAMED, progress=False).read_bytes() == CONTENT
    assert server.ranges == [f'bytes={len(left)}-', None] and files() == [NAMED[1:]]


def test_a_file_system_without_locks(server, monkeypatch):
    def refuse(*args: object) -> None:
        raise OSError('no locks available')

    monkeypatch.setattr('fcntl.flock', refuse)
    server.cuts = [100_000]
    assert download(server.url + NAMED, progress=False).read_bytes() == CONTENT
    assert [name for name in files() if 'lock' not in name] == [NAMED[1:]]


def test_a_file_of_another_digest_is_not_kept(server):
    with pytest.raises(DownloadError, match='SHA-256 begins with .*, not with 01234567.*put it at'):
        download(server.url + '/a-01234567.pth', progress=False)
    with pytest.raises(DownloadError, match='SHA-256 begins with'):
        download(server.url + '/a.pth', 'f' * 64, progress=False)
    assert files() == []


def test_an_absent_file_and_no_network_are_one_clear_error(server):
    with pytest.raises(DownloadError, match='absent.pth .*404'):
        download(server.url + '/absent.pth', progress=False)
    assert len(server.served) == 1  # asking again would not help
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match=rf'{server.url}/a.pth .*refused.*put it at {cache_folder()}/a.pth'):
        download(server.url + '/a.pth', progress=False)
    cache_folder().joinpath('a.pth').write_bytes(CONTENT)
    assert download(server.url + '/a.pth', DIGEST).read_bytes() == CONTENT  # put there by hand


def test_a_cached_file_that_is_damaged_is_not_taken(server):
    file = download(server.url + NAMED, progress=False)
    file.write_bytes(CONTENT[:1000])
    with pytest.raises(DownloadError, match=f'{file.name} is not the file that was published.*delete it'):
        download(server.url + NAMED)


@pytest.mark.slow
@pytest.mark.xdist_group('processes')
def test_of_two_processes_one_downloads(server):
    server.release.clear()
    code = 'import sys; from maskprop.zoo import download; print(download(sys.argv[1], progress=False))'
    command = [sys.executable, '-c', code, server.url + NAMED]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    while not server.served:
        time.sleep(0.05)
    threading.Timer(1, server.release.set).start()
    printed = [process.communicate()[0].strip() for process in processes]
    assert printed == [str(cache_folder() / NAMED[1:])] * 2
    assert server.served == [NAMED] and (cache_folder() / NAMED[1:]).read_bytes() == CONTENT


def test_a_killed_download_that_was_whole_is_not_asked_for_again(server):
    cache_folder().mkdir(parents=True)
    (cache_folder() / f'{NAMED[1:]}.partial').write_bytes(CONTENT)
    assert download(server.url + NAMED, progress=False).read_bytes() == CONTENT
    assert server.served == [] and files() == [NAMED[1:]]


@pytest.mark.parametrize(
    'name, digest',
    [('resnet-50.pth', None), ('model-00001.safetensors', None), ('a-6ca6b91e.pth', '6ca6b91e'), ('a.pth', None)],
)
def test_a_digest_in_a_name_has_eight_digits_or_more(name, digest):
    assert digest_of_name(name) == digest
