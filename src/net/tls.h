// TLS on a stream. Private to net/: the one place that includes asio::ssl.
#pragma once

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
  explicit TlsClient(TlsClientOptions::Verify its_verify) : context(asio::ssl::context::tls_client), verify(its_verify) {}
  asio::ssl::context context;
  TlsClientOptions::Verify verify;
};

struct TlsLayer {
  TlsLayer(NativeSocket& socket, std::shared_ptr<TlsServer> server)
      : owner(server), ssl(socket, server->context) {}
  TlsLayer(NativeSocket& socket, std::shared_ptr<TlsClient> client)
      : owner(client), ssl(socket, client->context) {}
  std::shared_ptr<void> owner;
  asio::ssl::stream<NativeSocket&> ssl;
  std::string joined;  // small pieces become one TLS record
};

}  // namespace gantry::net
