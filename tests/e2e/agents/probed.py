"""Answers probes as the files in /workspace say, so that a test can make it ill and well.

GET  /ready            {"db": {"state": "up"}}, or 503 while there is `unready`, or "down" while there is `down`
GET  /live             200, or 500 while there is `dead`
POST /touch/NAME       makes a file; POST /remove/NAME removes it
POST /work?ms=         does nothing for that long
"""
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

BORN = time.time()


def has(name):
    return os.path.exists(f"/workspace/{name}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        # In chunks, as many frameworks do.
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    def do_GET(self):
        if self.path == "/ready":
            return self.answer({"db": {"state": "down" if has("down") else "up"}, "born": BORN}, 503 if has("unready") else 200)
        if self.path == "/live":
            return self.answer({}, 500 if has("dead") else 200)
        self.answer({"born": BORN})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        verb, _, name = parts.path.strip("/").partition("/")
        if verb == "touch":
            open(f"/workspace/{name}", "w").close()
        if verb == "remove":
            os.unlink(f"/workspace/{name}")
        time.sleep(float(dict(parse_qsl(parts.query)).get("ms", 0)) / 1000)
        self.answer({"born": BORN})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


if "CRASH" in os.environ:
    print("no, I will not", file=sys.stderr, flush=True)
    sys.exit(int(os.environ["CRASH"]))
time.sleep(float(os.environ.get("SLOW_START", "0")))
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
