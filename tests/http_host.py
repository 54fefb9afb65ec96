"""A local server of one file that does wrong whatever a test asks of it."""

from __future__ import annotations

import http.server
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

BODY = np.random.default_rng(0).bytes(300_000)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as ``server.host`` says; a request for the first byte is a mere look."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def do_GET(self):
        host, wanted = self.server.host, self.headers.get("Range")
        host.asked.append((self.path, wanted, self.headers.get("If-Range")))
        self.close_connection = True
        if self.path == "/moved":
            return self.say(302, {"Location": "/file", "Content-Length": "0"})
        if host.states:
            return self.say(host.states.pop(0), {"Content-Length": "0"})
        body, first = host.body, 0
        marks = {key: value for key, value in host.marks.items() if value}
        fresh = self.headers.get("If-Range") in (None, *marks.values())
        if wanted and fresh and host.parts:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            first = int(first)
            if first >= len(body):
                return self.say(416, {"Content-Range": f"bytes */{len(body)}"})
            body = body[first : int(last) + 1 if last else None]
            total, at = len(host.body) + host.lie, first + host.shift
            marks["Content-Range"] = f"bytes {at}-{at + len(body) - 1}/{total}"
        part, look = "Content-Range" in marks, wanted == "bytes=0-0"
        length = len(body) if part and look else len(body) + host.lie
        if host.length:
            marks["Content-Length"] = str(length)
        self.say(206 if part else 200, marks)
        if look:
            return None
        body = body[:length]
        self.send(body[: host.breaks.pop(0)] if host.breaks else body)
        if host.stalls:
            time.sleep(host.stalls.pop(0))
        return host.then()

    def say(self, state, headers):
        self.send_response(state)
        for key, value in (headers | {"Connection": "close"}).items():
            self.send_header(key, value)
        self.end_headers()

    def send(self, data):
        self.server.host.sent += len(data)
        self.wfile.write(data)
        self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """Say nothing: whoever asks for the first byte only does not wait for the rest."""


@pytest.fixture
def host(monkeypatch):
    """A server of one file, and what it will do wrong."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.host = host = SimpleNamespace(
        body=BODY,
        marks={"ETag": '"one"', "Last-Modified": None},
        parts=True,  # whether it sends parts
        length=True,  # whether it says how much it sends
        lie=0,  # added to the length that it says
        shift=0,  # added to the position that it says
        breaks=[],  # bytes after which the next answers break off
        stalls=[],  # seconds that the next answers wait in the end
        states=[],  # refusals to give first
        then=lambda: None,  # done after each answer
        asked=[],
        sent=0,  # bytes, without those of a look
        url=f"http://127.0.0.1:{server.server_port}",
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield host
    server.shutdown()
    server.server_close()
    thread.join()
