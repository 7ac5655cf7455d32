"""Downloads from a server on the loopback address: cached, whole, checked, by one process at a time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from maskprop.zoo.download import DownloadError, cache_folder, download

CONTENT = os.urandom(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAMED = f'/weights-{DIGEST[:8]}.pth'


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        self.server.served.append(self.path)
        if not self._head():
            return
        self.server.release.wait(10)
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        self.wfile.write(CONTENT[:cut])
        self.close_connection = True

    def _head(self) -> bool:
        found = 'absent' not in self.path
        self.send_response(200 if found else 404)
        self.send_header('Content-Length', str(len(CONTENT)))
        self.end_headers()
        return found

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    found = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    found.cuts, found.served, found.release = [], [], threading.Event()
    found.release.set()
    found.url = f'http://127.0.0.1:{found.server_port}'
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def files() -> list[str]:
    return sorted(path.name for path in cache_folder().iterdir())


@pytest.mark.parametrize(
    'path, digest', [(NAMED, None), ('/a.pth', DIGEST), ('/a.pth', None), ('/a%20b.pth', None)]
)
def test_a_file_is_downloaded_once(server, path, digest):
    for _ in range(2):
        file = download(server.url + path, digest, progress=False)
        assert file.read_bytes() == CONTENT
    assert server.served == [path] and files() == [file.name]
    assert '%' not in file.name


@pytest.mark.parametrize('path', [NAMED, '/a.pth'], ids=['digest', 'size'])
def test_a_download_that_is_cut_is_begun_anew(server, path):
    server.cuts = [100_000]
    assert download(server.url + path, progress=False).read_bytes() == CONTENT
    assert len(server.served) == 2


@pytest.mark.parametrize('path', [NAMED, '/a.pth'], ids=['digest', 'size'])
def test_a_download_that_is_always_cut_is_an_error_and_leaves_nothing(server, path):
    server.cuts = [100_000] * 5
    with pytest.raises(DownloadError, match=rf'cannot download {server.url}.*put it at .*{Path(path).name}'):
        download(server.url + path, progress=False)
    assert files() == []


def test_a_file_of_another_digest_is_not_kept(server):
    with pytest.raises(DownloadError, match='invalid hash value.*put it at'):
        download(server.url + '/a-01234567.pth', progress=False)
    with pytest.raises(DownloadError, match='invalid hash value'):
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


def test_what_a_killed_download_left_is_removed(server):
    cache_folder().mkdir(parents=True)
    (cache_folder() / f'{NAMED[1:]}.0123.partial').write_bytes(b'half')
    download(server.url + NAMED, progress=False)
    assert files() == [NAMED[1:]]


def test_of_two_processes_one_downloads(server):
    server.release.clear()
    code = 'import sys; from maskprop.zoo import download; print(download(sys.argv[1], progress=False))'
    command = [sys.executable, '-c', code, server.url + NAMED]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    while not server.served:
        pass
    threading.Timer(1, server.release.set).start()
    printed = [process.communicate()[0].strip() for process in processes]
    assert printed == [str(cache_folder() / NAMED[1:])] * 2
    assert server.served == [NAMED] and (cache_folder() / NAMED[1:]).read_bytes() == CONTENT
