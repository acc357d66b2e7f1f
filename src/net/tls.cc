#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>

namespace gantry::net {
namespace {

constexpr unsigned char alpn_http_1_1[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                    unsigned int in_size, void*) {
  unsigned char* chosen = nullptr;
  int result = SSL_select_next_proto(&chosen, out_size, alpn_http_1_1, sizeof alpn_http_1_1, in, in_size);
  *out = chosen;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

std::unexpected<Error> tls_failure(std::string_view what, const error_code& error) {
  return fail(ErrorId::GR0610, "{}: {}", what, error.message());
}

Result<void> set_oldest_version(SSL_CTX* context) {
  if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
    return fail(Code::internal, "this OpenSSL cannot be limited to TLS 1.2 and newer");
  return {};
}

}  // namespace

Result<std::shared_ptr<TlsServer>> load_tls_server(const TlsServerOptions& options) try {
  auto tls = std::make_shared<TlsServer>();
  SSL_CTX* context = tls->context.native_handle();
  GANTRY_TRY_VOID(set_oldest_version(context));
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  error_code error;
  tls->context.use_certificate_chain_file(options.certificate_file, error);
  if (error) return tls_failure("read the certificate " + options.certificate_file, error);
  tls->context.use_private_key_file(options.key_file, asio::ssl::context::pem, error);
  if (error) return tls_failure("read the key " + options.key_file, error);
  if (SSL_CTX_check_private_key(context) != 1)
    return fail(ErrorId::GR0610, "the key {} does not belong to the certificate {}", options.key_file,
                options.certificate_file);
  return tls;
} catch (const boost::system::system_error& failure) {
  return fail(Code::internal, "set up TLS: {}", failure.what());
}

Result<std::shared_ptr<TlsClient>> load_tls_client(const TlsClientOptions& options) try {
  auto tls = std::make_shared<TlsClient>(options.verify);
  SSL_CTX* context = tls->context.native_handle();
  GANTRY_TRY_VOID(set_oldest_version(context));
  if (SSL_CTX_set_alpn_protos(context, alpn_http_1_1, sizeof alpn_http_1_1) != 0)
    return fail(Code::internal, "offer http/1.1 by ALPN");
  error_code error;
  if (options.verify == TlsClientOptions::Verify::nothing) {
    tls->context.set_verify_mode(asio::ssl::verify_none, error);
    return tls;
  }
  tls->context.set_verify_mode(asio::ssl::verify_peer, error);
  tls->context.set_default_verify_paths(error);
  if (error) return tls_failure("read the trusted certificates of this machine", error);
  if (!options.ca_file.empty()) tls->context.load_verify_file(options.ca_file, error);
  if (error) return tls_failure("read the trusted certificates " + options.ca_file, error);
  return tls;
} catch (const boost::system::system_error& failure) {
  return fail(Code::internal, "set up TLS: {}", failure.what());
}

Task<Result<void>> Stream::handshake_server(std::shared_ptr<TlsServer> tls, SteadyTime deadline) {
  use_tls(std::make_unique<TlsLayer>(executor_, std::move(tls)));
  set_deadline(deadline);
  auto [error] = co_await tls_->ssl.async_handshake(asio::ssl::stream_base::server, use_tuple);
  set_deadline(SteadyTime::max());
  if (error) co_return std::unexpected(failure(error, "TLS handshake"));
  co_return Result<void>();
}

Task<Result<void>> Stream::handshake_client(std::shared_ptr<TlsClient> tls, std::string host, SteadyTime deadline) {
  bool verify = tls->verify == TlsClientOptions::Verify::peer_and_name;
  use_tls(std::make_unique<TlsLayer>(executor_, std::move(tls)));
  error_code ignored;
  asio::ip::make_address(host, ignored);
  bool is_address = !ignored;
  // RFC 6066 3: no address in SNI.
  if (!is_address && SSL_set_tlsext_host_name(tls_->ssl.native_handle(), host.c_str()) != 1)
    co_return fail(Code::invalid, "the host name '{}' cannot be used with TLS", host);
  if (verify) tls_->ssl.set_verify_callback(asio::ssl::host_name_verification(host), ignored);
  set_deadline(deadline);
  auto [error] = co_await tls_->ssl.async_handshake(asio::ssl::stream_base::client, use_tuple);
  set_deadline(SteadyTime::max());
  if (error) co_return std::unexpected(failure(error, "TLS handshake with " + host));
  co_return Result<void>();
}

}  // namespace gantry::net
