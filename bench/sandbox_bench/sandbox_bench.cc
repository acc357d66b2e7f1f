// What a sandbox costs: to start, to keep, to connect into.
//
//   sandbox_bench [--dir DIR] [--starts N] [--idle N] [--dials N]
//
// Starts sandboxes one after the other and many at once; keeps `--idle` of them and reads what they take; connects into
// one and, beside it, to a listener on the host's loopback. Prints a table and then one line of JSON. Run it on a
// machine at rest, in the release preset, as root and as an ordinary user.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/use_future.hpp>
#include <charconv>
#include <cstdio>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "sandbox/sandbox.h"

namespace gantry::sandbox {
namespace {

namespace fs = std::filesystem;

struct Settings {
  fs::path directory;
  size_t starts = 100;
  size_t idle = 200;
  size_t dials = 20'000;
};

double to_us(Duration duration) { return std::chrono::duration<double, std::micro>(duration).count(); }

struct Quantiles {
  double p50 = 0;
  double p99 = 0;
};
Quantiles quantiles(std::vector<Duration> samples) {
  std::ranges::sort(samples);
  return {to_us(samples[samples.size() / 2]), to_us(samples[samples.size() * 99 / 100])};
}

// Takes connections and closes them, on the host.
class HostListener {
 public:
  HostListener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    // SAFETY: sockaddr_in is the address type of AF_INET.
    GANTRY_CHECK(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    GANTRY_CHECK(::listen(fd_.get(), 1024) == 0);
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    address_ = address;
    thread_ = std::jthread([this](const std::stop_token& stop) { accept_all(stop); });
  }
  os::Fd connect() const {
    os::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
    // SAFETY: as above.
    GANTRY_CHECK(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) == 0);
    return socket;
  }

 private:
  void accept_all(const std::stop_token& stop) const {
    while (!stop.stop_requested()) {
      pollfd entry{fd_.get(), POLLIN, 0};
      if (::poll(&entry, 1, 50) == 1) os::Fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
  }
  os::Fd fd_;
  sockaddr_in address_{};
  std::jthread thread_;
};

class Bench {
 public:
  explicit Bench(Settings settings) : settings_(std::move(settings)) {
    threads_.start();
    DriverOptions options;
    options.run_dir = settings_.directory / "run";
    for (const char* name : {"instances", "workspaces"}) {
      fs::create_directories(settings_.directory / name);
      options.shared_dirs.push_back(settings_.directory / name);
    }
    driver_ = make_bubblewrap_driver({clock_, random_}, options);
    auto opened = driver_->open();
    if (!opened) std::fprintf(stderr, "%s\n", opened.error().reason().c_str());
    GANTRY_CHECK(opened.has_value());
  }
  ~Bench() {
    driver_->close();
    threads_.stop();
    static_cast<void>(os::remove_tree(settings_.directory));
  }

  void run() {
    measure_starts();
    measure_idle();
    measure_dials();
    std::string line;
    for (const auto& [name, value] : figures_)
      line += fmt::format("{}\"{}\":{:.1f}", line.empty() ? "" : ",", name, value);
    std::printf("{%s}\n", line.c_str());
  }

 private:
  template <class T>
  std::future<T> begin(Task<T> task) {
    return asio::co_spawn(threads_.context(0), std::move(task), asio::use_future);
  }
  Spec spec(std::vector<std::string> command) {
    Spec spec;
    spec.id = InstanceId::make(clock_, random_);
    spec.name = "bench";
    spec.command = std::move(command);
    spec.instance_dir = settings_.directory / "instances" / spec.id.to_string();
    spec.workspace_dir = settings_.directory / "workspaces" / spec.id.to_string();
    return spec;
  }
  std::shared_ptr<Sandbox> start(std::vector<std::string> command) {
    auto box = begin(driver_->start(spec(std::move(command)))).get();
    if (!box) std::fprintf(stderr, "%s\n", box.error().reason().c_str());
    GANTRY_CHECK(box.has_value());
    return *box;
  }

  void measure_starts() {
    std::vector<Duration> samples;
    std::vector<Duration> stops;
    for (size_t i = 0; i < settings_.starts; ++i) {
      SteadyTime before = clock_.steady();
      auto box = start({"/bin/sleep", "1000"});
      samples.push_back(clock_.steady() - before);
      before = clock_.steady();
      begin(box->stop(std::chrono::seconds(1))).get();
      stops.push_back(clock_.steady() - before);
    }
    print("start to the end of execve", "start", quantiles(samples));
    print("stop of an idle program", "stop", quantiles(stops));
  }

  void measure_idle() {
    SteadyTime before = clock_.steady();
    std::vector<std::future<Result<std::shared_ptr<Sandbox>>>> starts;
    for (size_t i = 0; i < settings_.idle; ++i) starts.push_back(begin(driver_->start(spec({"/bin/sleep", "1000"}))));
    std::vector<std::shared_ptr<Sandbox>> boxes;
    for (auto& one : starts) {
      auto box = one.get();
      if (box) boxes.push_back(*box);
    }
    Duration took = clock_.steady() - before;
    std::printf("%-36s %10.1f ms for %zu, %.2f ms each\n", "many at once", to_us(took) / 1000, boxes.size(),
                to_us(took) / 1000 / static_cast<double>(boxes.size()));
    uint64_t group = 0;
    uint64_t shim = 0;
    for (auto& box : boxes) {
      if (auto stats = begin(box->stats()).get()) group += stats->memory.count;
      shim += proportional_kib(box->pid());
    }
    std::printf("%-36s %10.0f KiB with the program and kernel memory\n", "memory of an idle sandbox",
                static_cast<double>(group) / 1024 / static_cast<double>(boxes.size()));
    std::printf("%-36s %10.0f KiB\n", "  of it the shim (PSS)",
                static_cast<double>(shim) / static_cast<double>(boxes.size()));
    const auto count = static_cast<double>(boxes.size());
    figures_.emplace_back("many_at_once", count);
    figures_.emplace_back("many_at_once_each_us", to_us(took) / count);
    figures_.emplace_back("idle_memory_kib", static_cast<double>(group) / 1024 / count);
    figures_.emplace_back("idle_shim_pss_kib", static_cast<double>(shim) / count);
    std::vector<std::future<ExitInfo>> stops;
    for (auto& box : boxes) stops.push_back(begin(box->stop(Duration{})));
    for (auto& stop : stops) stop.get();
  }

  static uint64_t proportional_kib(pid_t pid) {
    auto text = os::read_file(fmt::format("/proc/{}/smaps_rollup", pid), kibibytes(64));
    if (!text) return 0;
    size_t at = text->find("\nPss:");
    uint64_t value = 0;
    size_t digits = text->find_first_of("0123456789", at);
    std::from_chars(text->data() + digits, text->data() + text->size(), value);
    return value;
  }

  Task<std::vector<Duration>> dial_many(std::shared_ptr<Sandbox> box) {
    std::vector<Duration> samples;
    for (size_t i = 0; i < settings_.dials; ++i) {
      SteadyTime before = clock_.steady();
      auto socket = co_await box->dial(8000);
      if (socket) samples.push_back(clock_.steady() - before);
    }
    co_return samples;
  }

  void measure_dials() {
    constexpr const char* server =
        "import socket\ns = socket.socket(); s.bind(('127.0.0.1', 8000)); s.listen(4096)\n"
        "while True: s.accept()[0].close()\n";
    auto box = start({"/usr/bin/python3", "-c", server});
    while (!begin(box->dial(8000)).get()) std::this_thread::yield();
    auto samples = begin(dial_many(box)).get();
    if (!samples.empty()) print("dial into a sandbox", "dial", quantiles(samples));
    begin(box->stop(Duration{})).get();

    HostListener listener;
    samples.clear();
    for (size_t i = 0; i < settings_.dials; ++i) {
      SteadyTime before = clock_.steady();
      os::Fd socket = listener.connect();
      samples.push_back(clock_.steady() - before);
    }
    print("connect over the host's loopback", "loopback", quantiles(samples));
  }

  void print(const char* what, std::string_view name, Quantiles figures) {
    figures_.emplace_back(fmt::format("{}_p50_us", name), figures.p50);
    figures_.emplace_back(fmt::format("{}_p99_us", name), figures.p99);
    std::printf("%-36s %10.1f us p50 %10.1f us p99\n", what, figures.p50, figures.p99);
    std::fflush(stdout);
  }

  Settings settings_;
  std::vector<std::pair<std::string, double>> figures_;  // for the line of JSON
  SystemClock clock_;
  SystemRandom random_;
  IoThreads threads_{1};
  std::unique_ptr<Driver> driver_;
};

Settings parse(int count, char** arguments) {
  Settings settings;
  std::map<std::string_view, size_t*> numbers{
      {"--starts", &settings.starts}, {"--idle", &settings.idle}, {"--dials", &settings.dials}};
  for (int i = 1; i + 1 < count; i += 2) {
    std::string_view name = arguments[i];
    if (name == "--dir") settings.directory = arguments[i + 1];
    if (auto found = numbers.find(name); found != numbers.end()) *found->second = std::stoul(arguments[i + 1]);
  }
  if (settings.directory.empty()) {
    std::string pattern = "/tmp/gantry-sandbox-bench-XXXXXX";
    GANTRY_CHECK(mkdtemp(pattern.data()) != nullptr);
    settings.directory = pattern;
  }
  return settings;
}

}  // namespace
}  // namespace gantry::sandbox

int main(int count, char** arguments) {
  if (count == 2 && std::string_view(arguments[1]) == "__spawn") return gantry::sandbox::spawn_process_main(3);
  gantry::sandbox::Bench(gantry::sandbox::parse(count, arguments)).run();
}
