"""Counts things, slowly. A plain HTTP server on the standard library: it knows nothing of Gantry.

POST /items/NAME   takes 200 ms, writes NAME to a file, answers {"item": NAME, "count": how many}
GET  /items        answers {"count": different names, "lines": names written, "items": [...]}
"""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = os.path.join(os.environ.get("STATE_DIR", "/workspace"), "items.txt")
WORK_SECONDS = float(os.environ.get("WORK_MS", "200")) / 1000
lock = threading.Lock()


def read_items():
    try:
        with open(FILE, encoding="utf-8") as file:
            return file.read().split()
    except FileNotFoundError:
        return []


def write_item(name):
    """Returns only when the name is on disk: a name that was answered is never forgotten."""
    with lock, open(FILE, "a", encoding="utf-8") as file:
        file.write(name + "\n")
        file.flush()
        os.fsync(file.fileno())
        return len(set(read_items()))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path != "/items":
            return self.answer(404, {"error": "try GET /items"})
        items = read_items()
        return self.answer(200, {"count": len(set(items)), "lines": len(items), "items": sorted(set(items))})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not self.path.startswith("/items/"):
            return self.answer(404, {"error": "try POST /items/NAME"})
        name = self.path.removeprefix("/items/")
        time.sleep(WORK_SECONDS)
        return self.answer(200, {"item": name, "count": write_item(name)})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    print(f"counting on port {port}, {len(set(read_items()))} items so far", flush=True)
    Server(("0.0.0.0", port), Handler).serve_forever()
