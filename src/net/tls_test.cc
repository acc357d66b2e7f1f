#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <filesystem>

#include "net/test_server.h"

namespace gantry::net {
namespace {

/// A self-signed certificate for `localhost`, in two PEM files of a directory of its own.
class Certificate {
 public:
  Certificate() {
    std::filesystem::create_directories(folder_);
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1,
                               0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
    X509_add_ext(certificate, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(certificate, key, EVP_sha256());
    write(certificate_file(), [&](FILE* file) { PEM_write_X509(file, certificate); });
    write(key_file(), [&](FILE* file) { PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr); });
    X509_free(certificate);
    EVP_PKEY_free(key);
  }
  ~Certificate() { std::filesystem::remove_all(folder_); }
  std::string certificate_file() const { return folder_ + "/cert.pem"; }
  std::string key_file() const { return folder_ + "/key.pem"; }

 private:
  static void write(const std::string& path, const std::function<void(FILE*)>& body) {
    FILE* file = std::fopen(path.c_str(), "w");
    ASSERT_NE(file, nullptr);
    body(file);
    std::fclose(file);
  }
  std::string folder_ = fmt::format("{}/gantry-tls-{}", testing::TempDir(), ::getpid());
};

class Tls : public testing::Test {
 protected:
  Tls()
      : server({.listen = {"127.0.0.1", 0},
                .tls = *load_tls_server({certificate.certificate_file(), certificate.key_file()})}) {}
  Url url(std::string_view path) {
    return *Url::parse(fmt::format("https://localhost:{}{}", server.endpoint().port, path));
  }
  HttpClient trusting() { return HttpClient({.tls = *load_tls_client({.ca_file = certificate.certificate_file()})}); }
  Certificate certificate;
  TestServer server;
};

TEST_F(Tls, EchoesLargeBodiesToAClientThatTrustsIt) {
  std::string body = pattern(5 << 20);
  auto response = trusting().request_blocking({.method = "POST", .url = url("/echo"), .body = body});
  ASSERT_TRUE(response.has_value()) << response.error().reason();
  EXPECT_TRUE(response->body == body);
}

TEST_F(Tls, IsRefusedByAClientThatDoesNotTrustIt) {
  auto response = HttpClient({}).request_blocking({.url = url("/hello")});
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().id(), ErrorId::GR0608);
  EXPECT_TRUE(response.error().reason().contains("certificate")) << response.error().reason();
  EXPECT_EQ(server.handler.handled, 0);
}

TEST_F(Tls, IsRefusedUnderAnotherName) {
  Url other = url("/hello");
  other.endpoint.host = "127.0.0.1";
  EXPECT_FALSE(trusting().request_blocking({.url = other}).has_value());
  HttpClient careless({.tls = *load_tls_client({.verify = TlsClientOptions::Verify::nothing})});
  EXPECT_TRUE(careless.request_blocking({.url = other}).has_value());
}

TEST_F(Tls, DropsAPeerThatSpeaksPlainHttp) {
  RawClient client(server.endpoint());
  client.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  client.read_to_end();
  EXPECT_EQ(server.handler.handled, 0);
}

TEST_F(Tls, LetsAWaitingHandlerSeeThatTheClientHasGone) {
  auto response = trusting().request_blocking({.url = url("/wait"), .timeout = std::chrono::milliseconds(300)});
  ASSERT_FALSE(response.has_value());
  EXPECT_EQ(response.error().code(), Code::timeout);
  EXPECT_TRUE(eventually([&] { return server.handler.gone == 1; }));
}

TEST(TlsFiles, AreRefusedWithTheirNames) {
  Certificate certificate;
  auto missing = load_tls_server({"/nowhere/cert.pem", certificate.key_file()});
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().id(), ErrorId::GR0610);
  EXPECT_TRUE(missing.error().reason().contains("/nowhere/cert.pem"));
  EXPECT_FALSE(load_tls_server({certificate.certificate_file(), certificate.certificate_file()}).has_value());
}

}  // namespace
}  // namespace gantry::net
