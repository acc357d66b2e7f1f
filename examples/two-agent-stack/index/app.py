"""Keeps titles in a file. A plain HTTP server on Python's own modules: it knows nothing of Gantry.

POST /titles/NAME   writes the title down, answers {"count": how many different ones}
GET  /titles        answers {"collection": …, "titles": [...]}
GET  /health        answers 200 once the file can be read
"""
import json
import os
import pathlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE = pathlib.Path(os.environ.get("STATE_DIR", "/workspace")) / "titles.txt"


def read_titles():
    return sorted(set(FILE.read_text().split())) if FILE.exists() else []


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/health":
            return self.answer(200, {"titles": len(read_titles())})
        self.answer(200, {"collection": os.environ.get("COLLECTION"), "titles": read_titles()})

    def do_POST(self):
        title = self.path.rpartition("/")[2]
        with FILE.open("a") as file:
            file.write(title + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.answer(200, {"count": len(read_titles())})


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 8000))), Handler).serve_forever()
