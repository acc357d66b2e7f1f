// An open-loop HTTP/1.1 client: sends one request, read from standard input, at random times (a Poisson process) of a
// given mean rate, whatever the answers take. Latency counts from the moment in which a request was due, so that a slow
// answer that keeps others waiting shows in theirs too (no coordinated omission).
//
//   paced PORT RATE SECONDS CONNECTIONS < request     prints one line of JSON; the first second is left out
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace {

struct Connection {
  int fd = -1;
  double due = 0;
  std::string answer;
};

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

[[noreturn]] void give_up(const std::string& why) {
  std::cerr << "paced: " << why << "\n";
  std::exit(1);
}

int connect_to(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // SAFETY: sockaddr_in seen as sockaddr, as the interface wants it.
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    give_up(std::string("connect: ") + std::strerror(errno));
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// True if the answer has arrived as a whole.
bool is_complete(const std::string& answer) {
  const size_t head = answer.find("\r\n\r\n");
  if (head == std::string::npos) return false;
  if (answer.compare(0, 13, "HTTP/1.1 200 ") != 0) give_up("it answered " + answer.substr(0, answer.find('\r')));
  std::string lower = answer.substr(0, head);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const size_t length = lower.find("content-length: ");
  if (length == std::string::npos) give_up("an answer without Content-Length");
  return answer.size() >= head + 4 + std::strtoul(lower.c_str() + length + 16, nullptr, 10);
}

class Run {
 public:
  Run(uint16_t port, double rate, size_t connections, std::string request)
      : request_(std::move(request)), gap_(rate), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    connections_.resize(connections);
    for (size_t i = 0; i < connections; ++i) {
      connections_[i].fd = connect_to(port);
      epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].fd, &event);
      idle_.push_back(i);
    }
  }

  void run(double seconds) {
    begin_ = now();
    double next = begin_;
    const double end = begin_ + seconds;
    while (next < end || answered_ < arrived_) {
      for (double time = now(); next <= time && next < end; next += gap_(random_)) {
        waiting_.push_back(next);
        ++arrived_;
      }
      send_waiting();
      if (now() > end + 30) give_up("no answer within 30 seconds");
      take_answers(next < end ? next : now() + 0.01);
    }
    report(seconds - 1);
  }

 private:
  void send_waiting() {
    for (; !waiting_.empty() && !idle_.empty(); waiting_.pop_front(), idle_.pop_back()) {
      Connection& connection = connections_[idle_.back()];
      connection.due = waiting_.front();
      connection.answer.clear();
      const ssize_t sent = send(connection.fd, request_.data(), request_.size(), MSG_NOSIGNAL);
      if (sent != static_cast<ssize_t>(request_.size())) give_up("the request could not be sent at once");
    }
  }

  void take_answers(double until) {
    const double wait = std::max(0.0, until - now());
    const timespec timeout{static_cast<time_t>(wait),
                           static_cast<long>((wait - static_cast<double>(static_cast<time_t>(wait))) * 1e9)};
    epoll_event events[64];
    const int count = epoll_pwait2(epoll_, events, 64, &timeout, nullptr);
    for (int i = 0; i < count; ++i) {
      Connection& connection = connections_[events[i].data.u64];
      char buffer[65536];
      const ssize_t size = recv(connection.fd, buffer, sizeof buffer, 0);
      if (size <= 0) give_up("a connection was closed");
      connection.answer.append(buffer, static_cast<size_t>(size));
      if (!is_complete(connection.answer)) continue;
      ++answered_;
      if (connection.due >= begin_ + 1) took_.push_back(now() - connection.due);
      idle_.push_back(events[i].data.u64);
    }
  }

  void report(double seconds) {
    if (took_.empty()) give_up("nothing was measured");
    std::ranges::sort(took_);
    auto at = [&](double share) {
      return took_[static_cast<size_t>(share * static_cast<double>(took_.size() - 1))] * 1e6;
    };
    std::printf(
        "{\"requests_per_s\": %.1f, \"answered\": %zu, \"p50_us\": %.0f, \"p99_us\": %.0f, \"p99.9_us\": %.0f}\n",
        static_cast<double>(took_.size()) / seconds, answered_, at(0.5), at(0.99), at(0.999));
  }

  const std::string request_;
  std::mt19937_64 random_{42};
  std::exponential_distribution<double> gap_;
  const int epoll_;
  double begin_ = 0;
  std::vector<Connection> connections_;
  std::vector<size_t> idle_;
  std::deque<double> waiting_;
  std::vector<double> took_;
  size_t arrived_ = 0, answered_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) give_up("usage: paced PORT RATE SECONDS CONNECTIONS < request");
  std::string request{std::istreambuf_iterator<char>(std::cin), {}};
  const double rate = std::atof(arguments[2]), seconds = std::atof(arguments[3]);
  const int connections = std::atoi(arguments[4]);
  if (rate <= 0 || seconds <= 1 || connections < 1 || request.empty())
    give_up("rate and connections must be above 0, seconds above 1, and the request not empty");
  Run(static_cast<uint16_t>(std::atoi(arguments[1])), rate, static_cast<size_t>(connections), std::move(request))
      .run(seconds);
  return 0;
}
