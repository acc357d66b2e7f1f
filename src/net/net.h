// HTTP/1.1 on the wire: a server, a client, and what lies under and beside them. The hot path of the product.
//
//   Header, Headers, HeaderList   fields in their order, byte for byte (headers.h)
//   RequestHead, ResponseHead     what was read, and how the body ends: Framing (message.h)
//   Socket, Endpoint, TLS         a connected byte stream with deadlines (socket.h)
//   Server, Handler, Exchange     one connection, one thread, one exchange after the other (server.h)
//   ClientConnection, Pool        the other side, with keep-alive (client.h)
//   HttpClient, Url               whole requests for the CLI and webhooks (http_client.h)
//   SseWriter, SseReader          server-sent events (sse.h)
//   forwardable, is_hop_by_hop    what a proxy may pass on (forward.h)
//   problem_json, respond_error   an Error as application/problem+json (problem.h)
//
// A proxied request may cost 12 µs of CPU. So a connection stays on its I/O thread, reuses its memory, has at most one
// read in flight (which also tells, at no cost, that the peer has gone) and sends head and body by one gather write.
// One coarse timer for each thread looks at all deadlines.
//
// Threads: everything but Server and Pool::close_all belongs to the I/O thread that it was made on. Nothing throws.
// Views (string_view, Headers) point into buffers of the Exchange or ClientConnection and say how long they live.
//
// Example:
//
//   Task<void> Hello::handle(net::Exchange& exchange) { co_await exchange.respond(200, {}, "hello\n"); }
//   net::Server server({.listen = {"127.0.0.1", 8081}}, {threads, clock, hello});
//   GANTRY_TRY_VOID(server.start());   // and server.stop(patience) from the main thread
#pragma once

#include "net/client.h"
#include "net/forward.h"
#include "net/headers.h"
#include "net/http_client.h"
#include "net/message.h"
#include "net/problem.h"
#include "net/server.h"
#include "net/socket.h"
#include "net/sse.h"
