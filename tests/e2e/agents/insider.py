"""Tells what a program sees from inside its sandbox.

GET /sockets            lines of /proc/net/tcp and tcp6 that are listening
GET /connect?host=&port=  what happens when it tries to reach something
GET /who                uid, pid, interfaces, host name
"""
import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


def listening():
    ports = []
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except FileNotFoundError:
            continue
        ports += [int(row[1].rsplit(":", 1)[1], 16) for row in rows if row[3] == "0A"]
    return sorted(ports)


def connect(host, port):
    try:
        with socket.create_connection((host, int(port)), timeout=2) as peer:
            peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return {"connected": True, "answer": peer.recv(100).decode("latin-1")}
    except OSError as error:
        return {"connected": False, "error": str(error)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        if parts.path == "/sockets":
            value = listening()
        elif parts.path == "/connect":
            value = connect(query["host"], query["port"])
        else:
            value = {"uid": os.getuid(), "pid": os.getpid(), "interfaces": [name for _, name in socket.if_nameindex()],
                     "processes": sum(name.isdigit() for name in os.listdir("/proc")), "secret": os.environ.get("HARNESS_SECRET")}  # fmt: skip
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Handler).serve_forever()
