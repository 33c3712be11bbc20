"""A run that goes on, watched in a browser: a read-only server on this machine."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness.errors import EnvironmentMissingError, HarnessError
from harness.planning.status import read_status
from harness.reporting.report.live import LiveCell, LiveRun, render_live, script_hash
from harness.reporting.report.templating import FILE
from harness.store.run_folder import RunFolder

LOOPBACK = "127.0.0.1"
_FRESH_SECONDS = 2.0
_MOST_BYTES = 50_000_000
_PAGE = {"Content-Type": "text/html; charset=utf-8"}
_PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def read_live(folder: Path) -> LiveRun:
    """Read how far a run is.

    Raises:
        DataError: No run there, or it cannot be read.
    """
    store = RunFolder(folder)
    run, status = store.require_run(), read_status(store, thorough=False)
    running = {row.cell for row in status.rows if row.state == "running"}
    active = [
        LiveCell(name, note, run.config.schedule.epochs)
        for name, note in store.read_active().items()
        if name in running
    ]
    failed = {row.cell: row.detail for row in status.rows if row.state == "failed"}
    planned = {row.cell for row in status.rows}
    done = {name: record for name, record in store.read_done(without=running).items() if name in planned}
    return LiveRun(run, status.counts, status.seconds_left, active, done, failed, (folder / FILE).is_file())


def serve(folder: Path | str, host: str = LOOPBACK, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of a run's page, bound but not yet serving: call its ``serve_forever``.

    It answers reading requests alone, and only those that name this machine: a page from elsewhere cannot read it
    through the reader's browser.

    Args:
        folder: Of the run.
        host: The address that it listens at.
        port: 0 for any that is free.

    Raises:
        DataError: No run there.
        EnvironmentMissingError: The address or the port cannot be had.
    """
    page = _Page(Path(folder).absolute())
    page.content()  # a wrong folder is told now, and not to a browser
    try:
        return _Server((host, port), page)
    except OSError as error:
        raise EnvironmentMissingError(
            f"cannot listen at {host}:{port}: {error.strerror or error} - choose another --port or --host"
        ) from error


class _Page:
    """The page, made anew when it is asked for and older than two seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._made, self._content = float("-inf"), b""

    def content(self) -> bytes:
        with self._lock:
            if time.monotonic() - self._made > _FRESH_SECONDS:
                self._content = render_live(read_live(self.folder)).encode()
                self._made = time.monotonic()
            return self._content


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], page: _Page) -> None:
        self.page, self.listens_at = page, address[0]
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def is_addressed(self, host: str) -> bool:
        """Whether a ``Host`` header names this machine by an address, or by its own name: others' names may be lent."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.strip("[]").lower()
        if name in {"localhost", self.listens_at.lower()}:
            return True
        open_to_others = self.listens_at not in {LOOPBACK, "::1", "localhost"}
        if open_to_others and name in {socket.gethostname().lower(), socket.getfqdn().lower()}:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return open_to_others or address.is_loopback


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "harness", ""
    timeout = 15  # seconds for whoever connects and says nothing

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def log_message(self, *_: object) -> None:
        """Say nothing: requests come every few seconds."""

    def _answer(self, *, with_content: bool) -> None:
        status, headers, content = self._content()
        self.send_response(status)
        for name, value in {**_HEADERS, **headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def _content(self) -> tuple[HTTPStatus, Mapping[str, str], bytes]:
        hosts = self.headers.get_all("Host") or [""]
        if len(hosts) > 1 or not self.server.is_addressed(hosts[0]):
            return HTTPStatus.MISDIRECTED_REQUEST, _PLAIN, b"This server answers to the name of its machine alone.\n"
        if self.path == "/":
            return self._live()
        file = self.server.page.folder / FILE
        if self.path == f"/{FILE}" and not file.is_symlink() and file.is_file() and file.stat().st_size <= _MOST_BYTES:
            # a run folder may come from anywhere, and so may the page in it
            policy = "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            headers = {**_PAGE, "Content-Security-Policy": f"{policy}script-src 'unsafe-inline'"}
            return HTTPStatus.OK, headers, file.read_bytes()
        return HTTPStatus.NOT_FOUND, _PLAIN, b"Nothing here.\n"

    def _live(self) -> tuple[HTTPStatus, Mapping[str, str], bytes]:
        policy = (
            f"default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; script-src 'sha256-{script_hash()}'"
        )
        try:
            headers = {**_PAGE, "Content-Security-Policy": policy}
            return HTTPStatus.OK, headers, self.server.page.content()
        except (HarnessError, OSError) as error:
            return HTTPStatus.INTERNAL_SERVER_ERROR, _PLAIN, f"{error}\n".encode()
