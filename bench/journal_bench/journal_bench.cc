// How fast the journal makes records durable, and how fast it is ready again.
//
//   journal_bench [--dir DIR] [--seconds N] [--records N] [--json FILE]
//
// Appends 1.5 KB records by 1, 64 and 256 coroutines on two I/O threads; then writes `--records` records and opens the
// journal again, with the checkpoint of the clean stop and without any. Prints a table; CPU is that of all threads,
// kernel included. Run it on a machine at rest, in the release preset, with DIR on the disk that is meant.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "journal/journal.h"
#include "os/os.h"

namespace gantry::journal {
namespace {

constexpr size_t payload_size = 1536;
constexpr Kind bench_kind{0x7f02};

struct Settings {
  std::filesystem::path directory;
  Duration time = std::chrono::seconds(3);
  uint64_t records = 1'000'000;
  std::string json;
};

struct AppendFigures {
  size_t writers = 0;
  double per_second = 0;
  double cpu_us = 0;
  double p50_us = 0;
  double p99_us = 0;
  double group = 0;  // records in a flush, on average
};

struct RecoveryFigures {
  uint64_t records = 0;
  double with_checkpoint_ms = 0;
  double without_checkpoint_ms = 0;
};

/// As cheap as a fold can be.
class CountFold final : public Fold {
 public:
  std::string_view name() const override { return "count"; }
  void apply(const Record&) override { ++count_; }
  std::string checkpoint() override { return std::to_string(count_); }
  Result<void> restore(std::string_view bytes) override {
    count_ = std::stoull(std::string(bytes));
    return {};
  }
  void reset() override { count_ = 0; }
  bool needs(uint64_t, uint64_t) override { return true; }
  uint64_t count() const { return count_; }

 private:
  uint64_t count_ = 0;
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double milliseconds(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

Entry make_entry() {
  return {.kind = bench_kind,
          .scope = Scope::standard(),
          .head = std::string(200, 'h'),
          .body = std::string(payload_size - 200, 'b')};
}

void require(const Result<void>& result) {
  if (result) return;
  std::fprintf(stderr, "journal_bench: %s\n", result.error().reason().c_str());
  std::exit(1);
}

struct Shared {
  Clock& clock;
  Journal& journal;
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> failures = 0;
};

Task<void> append_until_stopped(Shared& shared, std::vector<uint32_t>& latencies_us) {
  while (!shared.stop.load(std::memory_order_relaxed)) {
    const SteadyTime before = shared.clock.steady();
    auto appended = co_await shared.journal.append(make_entry());
    if (!appended) ++shared.failures;
    latencies_us.push_back(static_cast<uint32_t>((shared.clock.steady() - before).count() / 1000));
  }
}

Task<void> append_some(Shared& shared, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i)
    if (!co_await shared.journal.append(make_entry())) ++shared.failures;
}

AppendFigures measure_appends(const Settings& settings, size_t writers) {
  SystemClock clock;
  SystemRandom random;
  require(os::remove_tree(settings.directory));
  CountFold fold;
  auto journal = make_segments({.directory = settings.directory}, clock, random);
  journal->add(fold);
  require(journal->open());
  IoThreads threads(2);
  threads.start();
  Shared shared{.clock = clock, .journal = *journal};
  std::vector<std::vector<uint32_t>> latencies(writers);
  TaskGroup group;
  const SteadyTime start = clock.steady();
  const double cpu = cpu_seconds();
  for (size_t i = 0; i < writers; ++i)
    group.spawn(threads.executor(i % threads.size()), append_until_stopped(shared, latencies[i]));
  std::this_thread::sleep_for(settings.time);
  shared.stop = true;
  group.join();
  const double used = cpu_seconds() - cpu;
  const double took = milliseconds(clock.steady() - start) / 1000;
  threads.stop();
  const Stats stats = journal->stats();
  journal->stop();
  if (shared.failures > 0) require(fail(Code::unavailable, "{} appends failed", shared.failures.load()));

  std::vector<uint32_t> all;
  for (const auto& one : latencies) all.insert(all.end(), one.begin(), one.end());
  std::ranges::sort(all);
  const auto count = static_cast<double>(all.size());
  return {.writers = writers,
          .per_second = count / took,
          .cpu_us = used * 1e6 / count,
          .p50_us = static_cast<double>(all[all.size() / 2]),
          .p99_us = static_cast<double>(all[all.size() * 99 / 100]),
          .group = static_cast<double>(stats.records) / static_cast<double>(stats.groups)};
}

double open_and_stop(const Settings& settings, uint64_t expected) {
  SystemClock clock;
  SystemRandom random;
  CountFold fold;
  auto journal = make_segments({.directory = settings.directory}, clock, random);
  journal->add(fold);
  const SteadyTime start = clock.steady();
  require(journal->open());
  const double took = milliseconds(clock.steady() - start);
  if (fold.count() != expected) require(fail(Code::data_loss, "{} records of {}", fold.count(), expected));
  journal->stop();
  return took;
}

RecoveryFigures measure_recovery(const Settings& settings) {
  SystemClock clock;
  SystemRandom random;
  require(os::remove_tree(settings.directory));
  constexpr uint64_t writers = 256;
  const uint64_t each = settings.records / writers;
  {
    CountFold fold;
    auto journal = make_segments({.directory = settings.directory}, clock, random);
    journal->add(fold);
    require(journal->open());
    IoThreads threads(2);
    threads.start();
    Shared shared{.clock = clock, .journal = *journal};
    TaskGroup group;
    for (size_t i = 0; i < writers; ++i) group.spawn(threads.executor(i % 2), append_some(shared, each));
    group.join();
    threads.stop();
    journal->stop();
  }
  RecoveryFigures figures{.records = each * writers};
  figures.with_checkpoint_ms = open_and_stop(settings, figures.records);
  require(os::remove_tree(settings.directory / "checkpoints"));
  figures.without_checkpoint_ms = open_and_stop(settings, figures.records);
  return figures;
}

void print(const std::vector<AppendFigures>& appends, const RecoveryFigures& recovery) {
  fmt::print("{:>8} {:>12} {:>12} {:>9} {:>9} {:>9}\n", "writers", "records/s", "CPU us/rec", "p50 us", "p99 us",
             "group");
  for (const AppendFigures& one : appends)
    fmt::print("{:>8} {:>12.0f} {:>12.2f} {:>9.0f} {:>9.0f} {:>9.1f}\n", one.writers, one.per_second, one.cpu_us,
               one.p50_us, one.p99_us, one.group);
  fmt::print("ready again with {} records: {:.1f} ms with a checkpoint, {:.0f} ms without\n", recovery.records,
             recovery.with_checkpoint_ms, recovery.without_checkpoint_ms);
}

std::string to_json(const std::vector<AppendFigures>& appends, const RecoveryFigures& recovery) {
  std::string out = "{\"appends\": [";
  for (const AppendFigures& one : appends)
    out += fmt::format(
        "{}{{\"writers\": {}, \"records_per_second\": {:.0f}, \"cpu_us\": {:.3f}, \"p50_us\": {:.0f}, \"p99_us\": "
        "{:.0f}, "
        "\"group\": {:.1f}}}",
        &one == &appends.front() ? "" : ", ", one.writers, one.per_second, one.cpu_us, one.p50_us, one.p99_us,
        one.group);
  return out + fmt::format(
                   "], \"recovery\": {{\"records\": {}, \"with_checkpoint_ms\": {:.2f}, \"without_checkpoint_ms\": "
                   "{:.1f}}}}}\n",
                   recovery.records, recovery.with_checkpoint_ms, recovery.without_checkpoint_ms);
}

int run(const std::vector<std::string>& arguments) {
  Settings settings{.directory = std::filesystem::temp_directory_path() / fmt::format("journal-bench-{}", ::getpid())};
  for (size_t i = 0; i + 1 < arguments.size(); i += 2) {
    const std::string& name = arguments[i];
    const std::string& value = arguments[i + 1];
    if (name == "--dir") settings.directory = std::filesystem::path(value) / "journal-bench";
    if (name == "--seconds") settings.time = std::chrono::seconds(std::stol(value));
    if (name == "--records") settings.records = std::stoull(value);
    if (name == "--json") settings.json = value;
  }
  std::vector<AppendFigures> appends;
  for (size_t writers : {1, 64, 256}) appends.push_back(measure_appends(settings, writers));
  const RecoveryFigures recovery = measure_recovery(settings);
  require(os::remove_tree(settings.directory));
  print(appends, recovery);
  if (!settings.json.empty()) require(os::replace_file(settings.json, to_json(appends, recovery), 0644));
  return 0;
}

}  // namespace
}  // namespace gantry::journal

int main(int count, char** values) { return gantry::journal::run({values + 1, values + count}); }
