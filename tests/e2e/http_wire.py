"""HTTP/1.1 as bytes: sends exactly what it is told and keeps what comes, so that fidelity can be compared.

http.client joins, reorders and completes fields; here nothing is added and nothing is lost.
"""
import socket
from urllib.parse import urlsplit


class Broken(Exception):
    """The peer closed or reset the connection before the answer was whole."""


class Answer:
    """Status line, fields in their order and spelling, body and trailers of one answer."""

    def __init__(self, status, reason, fields):
        self.status, self.reason, self.fields = status, reason, fields
        self.body, self.trailers, self.interim = b"", [], []

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default


class Connection:
    """One TCP connection to a server; methods raise `Broken` or socket.timeout."""

    def __init__(self, url, timeout=30):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Broken(str(error)) from error

    def receive(self):
        """Whatever is there, at least one byte."""
        if self.buffer:
            data, self.buffer = self.buffer, b""
            return data
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError as error:
            raise Broken(str(error)) from error
        if not data:
            raise Broken("closed")
        return data

    def read_line(self):
        while b"\r\n" not in self.buffer:
            rest, self.buffer = self.buffer, b""
            self.buffer = rest + self.receive()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def read_exact(self, count):
        pieces, have = [], 0
        while have < count:
            data = self.receive()
            if have + len(data) > count:
                self.buffer = data[count - have :] + self.buffer
                data = data[: count - have]
            pieces.append(data)
            have += len(data)
        return b"".join(pieces)

    def read_fields(self):
        fields = []
        while line := self.read_line():
            name, value = line.split(":", 1)
            fields.append((name, value.strip(" \t")))
        return fields

    def read_head(self):
        """The next head, also an interim one such as 100."""
        version, status, reason = (self.read_line().split(" ", 2) + [""])[:3]
        assert version.startswith("HTTP/1."), version
        return Answer(int(status), reason, self.read_fields())

    def pieces(self, answer, method="GET"):
        """The body of an answer piece by piece as it comes; trailers are in the answer at the end."""
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            return
        if (answer.get("Transfer-Encoding") or "").lower() == "chunked":
            while size := int(self.read_line().split(";")[0], 16):
                yield self.read_exact(size)
                assert self.read_line() == ""
            answer.trailers = self.read_fields()
        elif (length := answer.get("Content-Length")) is not None:
            left = int(length)
            while left:
                data = self.read_exact(min(left, 1 << 18))
                left -= len(data)
                yield data
        else:
            while True:
                try:
                    yield self.receive()
                except Broken:
                    return

    def read_answer(self, method="GET"):
        """The next final answer, whole; interim ones are kept in it."""
        interim = []
        while (answer := self.read_head()).status < 200 and answer.status != 101:
            interim.append(answer)
        answer.interim = interim
        answer.body = b"".join(self.pieces(answer, method))
        return answer


def head(method, target, fields):
    """The bytes of a request head."""
    lines = [f"{method} {target} HTTP/1.1"] + [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def last_chunk(trailers=()):
    return b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in trailers) + b"\r\n"


def frame(opcode, payload, mask=None):
    """One unfragmented WebSocket frame (RFC 6455 5.2); clients mask, servers do not."""
    length = len(payload)
    second = 0x80 if mask else 0
    if length < 126:
        header = bytes([0x80 | opcode, second | length])
    elif length < 1 << 16:
        header = bytes([0x80 | opcode, second | 126]) + length.to_bytes(2, "big")
    else:
        header = bytes([0x80 | opcode, second | 127]) + length.to_bytes(8, "big")
    if not mask:
        return header + payload
    return header + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def read_frame(connection):
    """(opcode, payload) of the next frame, which is not masked."""
    first, second = connection.read_exact(2)
    length = second & 0x7F
    if length == 126:
        length = int.from_bytes(connection.read_exact(2), "big")
    elif length == 127:
        length = int.from_bytes(connection.read_exact(8), "big")
    return first & 0x0F, connection.read_exact(length)
