// A real process on a real disk, killed with SIGKILL at random times: what it was told is there.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "journal/journal_testing.h"
#include "os/os.h"

namespace gantry::journal {
namespace {

struct Receipt {
  uint64_t seq = 0;
  uint64_t writer = 0;
  uint64_t index = 0;
  uint64_t life = 0;
};

std::string payload_of(const Receipt& receipt) {
  std::string payload = fmt::format("{}/{}/{} ", receipt.life, receipt.writer, receipt.index);
  payload.append((receipt.writer * 131 + receipt.index * 17) % 3000, 'p');
  return payload;
}

Options options_at(const std::filesystem::path& directory, PayloadCipher* cipher = nullptr) {
  return {.directory = directory,
          .segment_size = mebibytes(1),
          .group_size = kibibytes(256),
          .entry_size = kibibytes(64),
          .checkpoint_every = kibibytes(256),
          .compress_after = Duration::zero(),
          .housekeeping_every = std::chrono::milliseconds(10),
          .cipher = cipher};
}

Task<void> write_forever(Journal& journal, uint64_t life, uint64_t writer, int pipe) {
  for (uint64_t index = 0;; ++index) {
    Receipt receipt{0, writer, index, life};
    auto appended = co_await journal.append(entry_of(payload_of(receipt)));
    if (!appended) co_return;
    receipt.seq = appended->seq;
    // SAFETY: smaller than PIPE_BUF: a write is whole or was never made, and so is what the parent reads.
    if (::write(pipe, &receipt, sizeof receipt) != sizeof receipt) co_return;
  }
}

[[noreturn]] void be_the_child(const Options& options, uint64_t life, int pipe) {
  SystemClock clock;
  SystemRandom random;
  ChainFold fold;
  auto journal = make_segments(options, clock, random);
  journal->add(fold);
  if (!journal->open()) ::_exit(3);
  Appender appender;
  for (uint64_t writer = 0; writer < 8; ++writer)
    appender.group().spawn(appender.next(), write_forever(*journal, life, writer, pipe));
  for (;;) ::pause();
}

/// Reads receipts until `enough` came, kills the child, reads the rest.
std::vector<Receipt> collect_and_kill(pid_t child, int pipe, size_t enough, Duration then) {
  std::vector<Receipt> receipts;
  Receipt receipt;
  bool killed = false;
  while (::read(pipe, &receipt, sizeof receipt) == sizeof receipt) {
    receipts.push_back(receipt);
    if (killed || receipts.size() < enough) continue;
    killed = true;
    // An instant that has nothing to do with the receipts.
    std::this_thread::sleep_for(then);
    ::kill(child, SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
  return receipts;
}

void expect_all_kept(const Options& options) {
  const std::filesystem::path& directory = options.directory;
  SystemClock clock;
  SystemRandom random;
  std::map<uint64_t, std::string> acknowledged;
  for (uint64_t life = 0; life < 9; ++life) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      be_the_child(options, life, ends[1]);
    }
    ::close(ends[1]);
    const auto receipts =
        collect_and_kill(child, ends[0], 1 + random.below(600), std::chrono::microseconds(random.below(3000)));
    ::close(ends[0]);
    for (const Receipt& receipt : receipts) acknowledged[receipt.seq] = payload_of(receipt);
    // Some lives begin right behind a crash and not behind the clean stop of this check.
    if (life % 3 == 1) continue;

    ChainFold fold;
    auto journal = make_segments(options, clock, random);
    journal->add(fold);
    auto opened = journal->open();
    ASSERT_TRUE(opened) << opened.error().reason();
    auto all = read_all(*journal);
    ASSERT_TRUE(all) << all.error().reason();
    ChainFold::State expected;
    for (const auto& [seq, payload] : *all) ChainFold::step(expected, seq, payload);
    EXPECT_EQ(fold.state(), expected);
    EXPECT_EQ(expected.last_seq, expected.count);
    for (const auto& [seq, payload] : acknowledged) {
      ASSERT_LE(seq, all->size());
      ASSERT_EQ((*all)[seq - 1].second, payload);
    }
    journal->stop();
  }
  EXPECT_GT(acknowledged.size(), 100u);
  ASSERT_TRUE(os::remove_tree(directory));
}

TEST(KillTest, KeepsWhatWasAcknowledgedWheneverTheProcessIsKilled) {
  expect_all_kept(options_at(testing::TempDir() + fmt::format("gantry-journal-kill-{}", ::getpid())));
}

TEST(KillTest, KeepsSealedRecordsToo) {
  FakeCipher cipher;
  expect_all_kept(options_at(testing::TempDir() + fmt::format("gantry-journal-sealed-{}", ::getpid()), &cipher));
}

TEST(KillTest, RefusesADirectoryThatIsOpenElsewhere) {
  const std::filesystem::path directory = testing::TempDir() + fmt::format("gantry-journal-lock-{}", ::getpid());
  SystemClock clock;
  SystemRandom random;
  auto first = make_segments(options_at(directory), clock, random);
  ASSERT_TRUE(first->open());
  auto second = make_segments(options_at(directory), clock, random);
  auto opened = second->open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().id(), ErrorId::GR0001);
  first->stop();
  EXPECT_TRUE(make_segments(options_at(directory), clock, random)->open());
  ASSERT_TRUE(os::remove_tree(directory));
}

}  // namespace
}  // namespace gantry::journal
