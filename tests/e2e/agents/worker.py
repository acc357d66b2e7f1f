"""Does work that can be counted afterwards: every start and every end of a piece of work is a line in /workspace.

POST /do/KEY?ms=20    works for that long
POST /hold/KEY        works until POST /release/KEY (which need not come in time)
POST /die/KEY?until=2 ends the process with SIGKILL while Gantry-Attempt is smaller
POST /answer/KEY?status=503&until=3&after=1  answers so while Gantry-Attempt is smaller, with Retry-After
POST /exit?code=3     ends the process; POST /allocate takes memory until it is stopped
GET  /log             the lines: {"start"|"end", KEY, ATTEMPT, REQUEST_ID}
GET  /self            {"pid", "born", "served"}: its memory, which a restart empties
GET  /slow?ms=        not journaled work; GET /environment; GET /say?text=
"""
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

LOG = os.path.join(os.environ.get("STATE_DIR", "/workspace"), "log.txt")
BORN = time.time()
gates, served, lock = {}, 0, threading.Lock()


def note(word, key, headers):
    """One write(2) to a file opened for append: whole, or not there."""
    line = f"{word} {key} {headers.get('Gantry-Attempt', '-')} {headers.get('Gantry-Request-Id', '-')}\n"
    fd = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(fd, line.encode())
    os.close(fd)


def gate_of(key):
    with lock:
        return gates.setdefault(key, threading.Event())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one packet each would wait for the other side's delayed ACK.
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def answer(self, value, status=200, headers=()):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        if parts.path == "/log":
            try:
                with open(LOG, encoding="utf-8") as file:
                    return self.answer([line.split() for line in file])
            except FileNotFoundError:
                return self.answer([])
        if parts.path == "/slow":
            time.sleep(float(query.get("ms", 0)) / 1000)
        if parts.path == "/environment":
            return self.answer(dict(os.environ))
        if parts.path == "/say":
            print(query["text"], flush=True)
            print(query["text"], file=sys.stderr, flush=True)
        if parts.path == "/health" and os.path.exists(os.path.join(os.path.dirname(LOG), "sick")):
            return self.answer({"status": "sick"}, 503)
        with lock:
            return self.answer({"pid": os.getpid(), "born": BORN, "served": served})

    def do_POST(self):
        global served
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        verb, _, key = parts.path.strip("/").partition("/")
        if verb == "release":
            gate_of(key).set()
            return self.answer({"released": key})
        if verb == "sick":
            open(os.path.join(os.path.dirname(LOG), "sick"), "w").close()
            return self.answer({})
        note("start", key, self.headers)
        if verb == "hold":
            gate_of(key).wait()
        elif verb == "die" and int(self.headers["Gantry-Attempt"]) < int(query.get("until", "2")):
            os.kill(os.getpid(), signal.SIGKILL)
        elif verb == "answer" and int(self.headers["Gantry-Attempt"]) < int(query.get("until", "2")):
            headers = [("Retry-After", query["after"])] if "after" in query else []
            return self.answer({"error": "not yet"}, int(query.get("status", "503")), headers)
        elif verb == "exit":
            print("leaving as told", flush=True)
            os._exit(int(query.get("code", "1")))
        elif verb == "allocate":
            hoard = []
            while True:
                hoard.append(os.urandom(1 << 20))
        time.sleep(float(query.get("ms", 0)) / 1000)
        note("end", key, self.headers)
        with lock:
            served += 1
            count = served
        self.answer({"key": key, "bytes": len(body), "attempt": self.headers.get("Gantry-Attempt"), "served": count})

    do_PUT = do_DELETE = do_PATCH = do_POST


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


if os.environ.get("REFUSE_TO_START"):
    print("no, I will not", file=sys.stderr, flush=True)
    sys.exit(int(os.environ["REFUSE_TO_START"]))
print("working", flush=True)
Server(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Handler).serve_forever()
