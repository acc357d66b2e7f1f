// TLS on a stream. Private to net/: the one place that includes asio::ssl.
#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "net/stream.h"

namespace gantry::net {

class TlsServer {
 public:
  TlsServer() : context(asio::ssl::context::tls_server) {}
  asio::ssl::context context;
};

class TlsClient {
 public:
  explicit TlsClient(TlsClientOptions::Verify its_verify)
      : context(asio::ssl::context::tls_client), verify(its_verify) {}
  asio::ssl::context context;
  TlsClientOptions::Verify verify;
};

/// Asio's TLS wants Asio's socket: the stream gives up its descriptor to it.
struct TlsLayer {
  using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;
  template <class Side>
  TlsLayer(Executor executor, std::shared_ptr<Side> side) : owner(side), socket(executor), ssl(socket, side->context) {}
  std::shared_ptr<void> owner;
  Socket socket;
  asio::ssl::stream<Socket&> ssl;
  std::string joined;  // small pieces become one TLS record
};

}  // namespace gantry::net
