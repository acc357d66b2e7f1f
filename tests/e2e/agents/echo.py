"""Says back exactly what arrived. Parses HTTP by hand so that nothing is normalised; standard library only.

ANY  /mirror    the body, in the framing in which it came, piece by piece, trailers too
GET  /sse       one event, then nothing until POST /release, then a second one
GET  /ws        a WebSocket that echoes frames
GET  /answer    a fixed answer with repeated and oddly spelt fields
ANY  else       a JSON description of the request
"""
import asyncio
import base64
import hashlib
import json
import os

RELEASED = asyncio.Event()


class Request:
    """Head of one request, and its body as an iterator."""

    def __init__(self, reader, head):
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.method, self.target, self.version = lines[0].split(" ", 2)
        self.fields = [[name, value.strip(" \t")] for name, value in (line.split(":", 1) for line in lines[1:] if line)]
        self.reader, self.trailers = reader, []
        self.framing = "chunked" if self.get("transfer-encoding", "").lower() == "chunked" else "length" if self.get("content-length") else "none"

    def get(self, name, default=None):
        return next((value for key, value in self.fields if key.lower() == name), default)

    async def pieces(self):
        if self.framing == "length":
            left = int(self.get("content-length"))
            while left:
                data = await self.reader.read(min(left, 1 << 16))
                if not data:
                    raise ConnectionError("the body ended early")
                left -= len(data)
                yield data
        elif self.framing == "chunked":
            while size := int((await self.reader.readline()).split(b";")[0], 16):
                data = await self.reader.readexactly(size)
                await self.reader.readline()
                yield data
            while line := (await self.reader.readline()).decode("latin-1").strip("\r\n"):
                name, value = line.split(":", 1)
                self.trailers.append([name, value.strip(" \t")])


def send_head(writer, status, fields):
    lines = [f"HTTP/1.1 {status}"] + [f"{name}: {value}" for name, value in fields]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


def send_whole(writer, status, fields, body):
    send_head(writer, status, fields + [("Content-Length", len(body))])
    writer.write(body)


async def describe(request, writer):
    digest, count = hashlib.sha256(), 0
    async for piece in request.pieces():
        digest.update(piece)
        count += len(piece)
    body = json.dumps({
        "line": request.line, "method": request.method, "target": request.target, "headers": request.fields,
        "framing": request.framing, "bytes": count, "sha256": digest.hexdigest(), "trailers": request.trailers,
    }).encode()  # fmt: skip
    send_head(writer, "200 OK", [("Content-Type", "application/json"), ("Content-Length", len(body))])
    if request.method != "HEAD":
        writer.write(body)


async def mirror(request, writer):
    if request.framing == "chunked":
        send_head(writer, "200 OK", [("Transfer-Encoding", "chunked"), ("Trailer", "x-sum, x-twice")])
        async for piece in request.pieces():
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in request.trailers).encode("latin-1") + b"\r\n")
        return
    send_head(writer, "200 OK", [("Content-Length", request.get("content-length", "0"))])
    async for piece in request.pieces():
        writer.write(piece)
        await writer.drain()


async def events(writer):
    send_head(writer, "200 OK", [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")])
    for text in (b"data: first\n\n", b"data: second\n\n"):
        writer.write(b"%x\r\n%s\r\n" % (len(text), text))
        await writer.drain()
        await RELEASED.wait()
    writer.write(b"0\r\n\r\n")


async def websocket(request, reader, writer):
    key = request.get("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    protocol = [("Sec-WebSocket-Protocol", request.get("sec-websocket-protocol"))] if request.get("sec-websocket-protocol") else []
    send_head(writer, "101 Switching Protocols", [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)] + protocol)
    opcode = None
    while opcode != 8:
        first, second = await reader.readexactly(2)
        opcode, length = first & 0x0F, second & 0x7F
        size = {126: 2, 127: 8}.get(length)
        if size:
            length = int.from_bytes(await reader.readexactly(size), "big")
        mask = await reader.readexactly(4)
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(await reader.readexactly(length)))
        header = bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big") if length < 65536 else b"\x7f" + length.to_bytes(8, "big")
        writer.write(bytes([first]) + header + payload)
        await writer.drain()


async def serve_one(request, reader, writer):
    path = request.target.split("?")[0]
    if path == "/mirror":
        await mirror(request, writer)
    elif path == "/sse":
        await events(writer)
    elif path == "/release":
        async for _ in request.pieces():
            pass
        RELEASED.set()
        send_whole(writer, "204 No Content", [], b"")
    elif path == "/answer":
        fields = [("Set-Cookie", "a=1"), ("x-oddly-SPELT", "one"), ("Set-Cookie", "b=2"), ("X-Empty", ""), ("X-Oddly-Spelt", "two")]
        send_whole(writer, "299 Fine By Me", fields, b"fixed")
    elif path == "/ws":
        await websocket(request, reader, writer)
        return False
    else:
        await describe(request, writer)
    await writer.drain()
    return request.get("connection", "").lower() != "close"


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if not await serve_one(Request(reader, head[:-4]), reader, writer):
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(os.environ.get("PORT", "8000")), limit=1 << 20, backlog=1024)
    print("echoing", flush=True)
    await server.serve_forever()


asyncio.run(main())
