"""Tells when it began to listen and when its first request came, by the monotonic clock."""
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

times = {"listening": None, "first": None}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, *_):
        pass

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(times)

    def do_POST(self):
        times["first"] = times["first"] or time.monotonic()
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.answer("ok")


server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Handler)
times["listening"] = time.monotonic()
server.serve_forever()
