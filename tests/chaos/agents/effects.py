"""An agent whose work has one effect, however often it is delivered: it looks up Gantry-Request-Id before it acts.

POST /do/KEY?ms=20   notes a line for its start, its effect (once for each request id) and its end
GET  /log            the lines: [word, key, attempt, request id, monotonic time]
"""
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

LOG = os.path.join(os.environ.get("STATE_DIR", "/workspace"), "effects.txt")
lock, done = threading.Lock(), set()


def note(word, key, attempt, request_id):
    """One write(2) to a file opened for append: whole, or not there. The monotonic clock is that of the host."""
    fd = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(fd, f"{word} {key} {attempt} {request_id} {time.clock_gettime(time.CLOCK_MONOTONIC):.6f}\n".encode())
    os.close(fd)


def read_log():
    try:
        with open(LOG, encoding="utf-8") as file:
            return [line.split() for line in file]
    except FileNotFoundError:
        return []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(read_log() if self.path == "/log" else {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        key, query = parts.path.split("/")[2], dict(parse_qsl(parts.query))
        attempt, request_id = self.headers.get("Gantry-Attempt", "0"), self.headers.get("Gantry-Request-Id", "-")
        note("start", key, attempt, request_id)
        time.sleep(float(query.get("ms", 0)) / 1000)
        with lock:
            if request_id not in done:
                note("effect", key, attempt, request_id)
                done.add(request_id)
        note("end", key, attempt, request_id)
        self.answer({"key": key, "bytes": len(body), "attempt": int(attempt)})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


done.update(line[3] for line in read_log() if line[0] == "effect")
Server(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Handler).serve_forever()
