#include <fcntl.h>
#include <fmt/format.h>

#include <istream>

#include "cli/commands/agents.h"
#include "cli/handlers.h"
#include "crypto/crypto.h"
#include "os/os.h"

namespace gantry::cli {
namespace {

/// A body up to this size is sent with its length, which every program understands; a longer one in
/// pieces, so that it never has to fit into memory.
constexpr size_t whole_body_limit = size_t{16} << 20;
constexpr size_t piece_size = size_t{256} << 10;

/// Gives the bytes of `--body`.
class BodySource {
 public:
  /// `@file`, `-` for stdin, else the text itself.
  static Result<BodySource> open(Session& session, const std::string& data) {
    BodySource source;
    if (data == "-") {
      source.stream_ = session.environment().in;
    } else if (data.starts_with('@')) {
      auto file = os::open_file(data.substr(1), O_RDONLY);
      if (!file)
        return std::unexpected(std::move(file).error().wrap("--body").with_hint(
            "name a file that can be read, - for standard input, or give the text itself"));
      source.file_ = std::move(*file);
    } else {
      source.text_ = data;
    }
    return source;
  }

  /// The next piece; empty at the end.
  Result<std::string> next() {
    if (!file_ && stream_ == nullptr) return std::exchange(text_, {});
    std::string piece(piece_size, '\0');
    size_t got = 0;
    if (stream_ != nullptr) {
      stream_->read(piece.data(), static_cast<std::streamsize>(piece.size()));
      got = static_cast<size_t>(stream_->gcount());
    } else {
      GANTRY_TRY(got, os::read_some(file_, piece));
    }
    piece.resize(got);
    return piece;
  }

 private:
  os::Fd file_;
  std::istream* stream_ = nullptr;
  std::string text_;
};

bool has_header(const net::HeaderList& headers, std::string_view name) { return headers.view().find(name).has_value(); }

/// What a body without a Content-Type is: JSON if it reads as such.
std::string_view guess_type(std::string_view body) {
  return json::parse(body) ? "application/json" : "application/octet-stream";
}

Result<> add_headers(net::OutgoingRequest& request, const std::vector<std::string>& given) {
  for (const auto& line : given) {
    size_t colon = line.find(':');
    std::string_view name = trim(std::string_view(line).substr(0, colon));
    std::string_view value = colon == std::string::npos ? "" : trim(std::string_view(line).substr(colon + 1));
    if (colon == std::string::npos || !net::is_valid_header({name, value}))
      return std::unexpected(
          Error(ErrorId::GR0801, fmt::format("--header: '{}' is not of the form 'Name: value'", line))
              .with_hint("write it as in -H 'Content-Type: application/json'"));
    request.headers.add(name, value);
  }
  return {};
}

/// Reads the body; what is longer than the limit goes into the upload stream.
Result<> add_body(Session& session, net::OutgoingRequest& request, net::HttpClient::Streams& streams) {
  auto data = session.given().text("--body");
  if (!data) return {};
  GANTRY_TRY(auto opened, BodySource::open(session, *data));
  auto source = std::make_shared<BodySource>(std::move(opened));
  while (request.body.size() <= whole_body_limit) {
    GANTRY_TRY(std::string piece, source->next());
    if (piece.empty()) {
      if (!has_header(request.headers, "content-type")) request.headers.add("content-type", guess_type(request.body));
      return {};
    }
    request.body += piece;
  }
  auto head = std::make_shared<std::string>(std::exchange(request.body, {}));
  streams.upload = [source, head]() -> Result<std::string> {
    return head->empty() ? source->next() : Result<std::string>(std::exchange(*head, {}));
  };
  if (!has_header(request.headers, "content-type")) request.headers.add("content-type", "application/octet-stream");
  return {};
}

/// `Prefer: wait=30` counts whole seconds.
int64_t seconds_of(Duration wait) {
  return std::max<int64_t>(1, std::chrono::ceil<std::chrono::seconds>(wait).count());
}

std::string request_id_of(net::Headers headers) { return std::string(headers.find("gantry-request-id").value_or("")); }

/// True for the 202 of Gantry itself: an agent's own 202 names no such location.
bool was_kept_for_later(int status, net::Headers headers) {
  std::string id = request_id_of(headers);
  return status == 202 && !id.empty() && headers.find("location") == "/v1/requests/" + id;
}

/// True for a refusal by Gantry, as opposed to an answer of the agent.
bool is_problem(const net::IncomingResponse& answer) {
  if (!answer.headers.view().find("content-type").value_or("").starts_with("application/problem+json")) return false;
  auto value = json::parse(answer.body);
  return value && json::find(*value, "retryable") != nullptr && json::find(*value, "code") != nullptr;
}

std::string head_text(int status, net::Headers headers) {
  std::string out = fmt::format("HTTP/1.1 {} {}\n", status, net::reason_phrase(status));
  for (const auto& header : headers) out += fmt::format("{}: {}\n", header.name, header.value);
  return out + "\n";
}

json::Object answer_json(const net::IncomingResponse& answer, std::string_view body) {
  json::Array headers;
  for (const auto& header : answer.headers.view()) headers.push_back(json::Array{header.name, header.value});
  json::Object shown{{"bytes", body.size()}, {"sha256", crypto::sha256_hex(body)}};
  // The text form only if it comes through JSON unchanged.
  if (auto text = json::parse(json::quote(body));
      text && text->is_string() && std::string_view(text->get_string()) == body)
    shown["text"] = body;
  else
    shown["base64"] = crypto::base64(body);
  return {{"request_id", request_id_of(answer.headers)},
          {"status", answer.status},
          {"pending", was_kept_for_later(answer.status, answer.headers)},
          {"headers", std::move(headers)},
          {"body", std::move(shown)}};
}

/// Prints an answer as it arrives.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(Session& session) : session_(session) {}

  void begin(int status, net::Headers headers) {
    if (std::exchange(begun_, true) || !session_.for_people()) return;
    // The body of Gantry's own 202 only repeats the id; the id is then what a script wants.
    kept_ = was_kept_for_later(status, headers);
    if (std::string id = request_id_of(headers); kept_)
      session_.print(id + "\n");
    else if (!id.empty())
      session_.say(session_.err_style().paint(Tint::dim, "request " + id));
    if (session_.given().has("--include")) session_.print(head_text(status, headers));
  }

  void body(std::string_view piece) {
    if (!session_.for_people()) {
      collected_ += piece;
      return;
    }
    if (kept_) return;
    session_.print(piece);
    if (!piece.empty()) last_ = piece.back();
  }

  /// A prompt should not stand behind the answer.
  void end() {
    if (session_.environment().out_device == Device::terminal && last_ != '\n') session_.print("\n");
  }

  const std::string& collected() const { return collected_; }

 private:
  Session& session_;
  bool begun_ = false;
  bool kept_ = false;
  char last_ = '\n';
  std::string collected_;
};

/// What became of a request whose answer did not come to its end: the server knows.
Error broken_off(ApiClient& api, std::string_view name, const std::string& id, const Error& cause) {
  auto told = [&](std::string_view what, std::string hint) {
    return Error(ErrorId::GR0809, fmt::format("the answer broke off; {}", what)).with_hint(hint);
  };
  const std::string show = fmt::format("gantry requests show {}", id);
  auto request = api.get("/v1/requests/" + percent_encode(id));
  if (request) {
    const std::string status = text_at(*request, "status");
    if (status == "completed") return told(fmt::format("request {} is completed and its answer recorded", id), show);
    if (status == "failed") return told(fmt::format("request {} is a dead letter now", id), show);
    if (status == "cancelled") return told(fmt::format("request {} was cancelled", id), show);
    return told(fmt::format("request {} is kept and tried again", id), show);
  }
  if (request.error().code() == Code::not_found)
    return told(fmt::format("request {} is not of a kind that is kept", id),
                fmt::format("gantry logs {} --tail 50", name));
  return told(fmt::format("{}; request {} can be looked up when the server is back", cause.reason(), id), show);
}

Result<net::OutgoingRequest> build_request(Session& session, ApiClient& api, net::HttpClient::Streams& streams) {
  const Invocation& given = session.given();
  std::string path = given.argument("PATH").value_or("/");
  if (!path.starts_with('/')) path.insert(0, "/");
  std::string method = given.text_or("--method", given.has("--body") ? "POST" : "GET");
  GANTRY_TRY(auto request,
             api.prepare_for_agent(method, fmt::format("/agent/{}{}", percent_encode(given.required("NAME")), path)));
  GANTRY_TRY_VOID(add_headers(request, given.list("--header")));
  GANTRY_TRY_VOID(add_body(session, request, streams));
  request.timeout = given.duration_or_fallback("--timeout");
  if (auto wait = given.duration("--wait")) {
    request.headers.add("prefer", fmt::format("wait={}", seconds_of(*wait)));
    request.timeout += *wait;
  }
  return request;
}

}  // namespace

Result<int> run_invoke(Session& session) {
  const std::string& name = session.given().required("NAME");
  GANTRY_TRY(ApiClient * api, session.api());
  AnswerPrinter printer(session);
  net::HttpClient::Streams streams;
  streams.download = [&](const net::ResponseHead& head, std::string_view piece) -> Result<> {
    printer.begin(head.status, head.headers);
    printer.body(piece);
    return {};
  };
  std::string id;
  streams.head = [&](const net::ResponseHead& head) { id = request_id_of(head.headers); };
  GANTRY_TRY(auto request, build_request(session, *api, streams));
  auto answer = api->exchange(std::move(request), std::move(streams));
  // With an id the server is there and has begun to answer: what broke is this answer.
  if (!answer && answer.error().code() == Code::unavailable && !id.empty()) {
    printer.end();
    return std::unexpected(broken_off(*api, name, id, answer.error()));
  }
  if (!answer) return std::unexpected(std::move(answer).error());

  if (is_problem(*answer)) {
    Error refusal = error_of(*answer);
    // The hint of the server is for callers that speak HTTP.
    if (refusal.id() == ErrorId::GR0403)
      return std::unexpected(
          Error(refusal.id(), refusal.reason())
              .with_hint(session.given().has("--wait")
                             ? fmt::format("gantry inspect {0}; gantry logs {0} --tail 50", name)
                             : fmt::format("gantry inspect {0}; or wait for an instance with --wait 30s", name)));
    return std::unexpected(about_agent(*api, name, std::move(refusal)));
  }
  printer.begin(answer->status, answer->headers);
  printer.body(answer->body);
  if (!session.for_people()) {
    session.print(render_value(answer_json(*answer, printer.collected()), session.format(), "request_id"));
  } else {
    printer.end();
  }
  if (was_kept_for_later(answer->status, answer->headers)) {
    session.say(fmt::format("'{}' has not answered yet; the request is kept and will be delivered", name));
    session.suggest(fmt::format("gantry requests show {}", request_id_of(answer->headers)));
  }
  if (answer->status < 400) return 0;
  session.say(fmt::format("the agent answered {} {}", answer->status, net::reason_phrase(answer->status)));
  session.suggest(fmt::format("gantry logs {} --tail 50", name));
  return 1;
}

}  // namespace gantry::cli
