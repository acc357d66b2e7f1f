// The vault on a real store, alone and below a journal.
#include "vault/vault.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>

#include "crypto/crypto.h"
#include "journal/journal_fake.h"
#include "os/os.h"
#include "vault/key_table.h"
#include "vault/master_key.h"

namespace gantry::vault {
namespace {

const Scope other_scope{"acme", "support", "prod"};

template <class T>
Task<void> hand_over(Task<Result<T>> task, std::promise<Result<T>>& promise) {
  promise.set_value(co_await std::move(task));
}

class VaultTest : public testing::Test {
 protected:
  VaultTest() : directory_(testing::TempDir() + fmt::format("gantry-vault-{}", ::getpid())) {
    std::filesystem::remove_all(directory_);
    EXPECT_TRUE(os::make_directories(directory_));
    threads_.start();
    reopen_store();
    write_key("a", 'a');
    write_key("b", 'b');
  }
  ~VaultTest() override {
    group_.join();
    database_->stop();
    blocking_.stop();
    threads_.stop();
    std::filesystem::remove_all(directory_);
  }
  void reopen_store(store::SqliteOptions options = {}) {
    if (database_) database_->stop();
    const std::array all{migrations()};
    database_ = store::open_sqlite(directory_ / "store.db", all, options).value();
  }
  std::filesystem::path file(std::string_view name) const { return directory_ / name; }
  void write_key(std::string_view name, char letter) {
    const std::string bytes(SecretKey::size, letter);
    ASSERT_TRUE(os::replace_file(file(name), crypto::base64(bytes) + "\n"));
  }
  Result<std::unique_ptr<Vault>> open(std::string_view name) {
    return Vault::open({*database_, blocking_, clock_, random_}, {.file = file(name), .text = {}});
  }
  Result<std::unique_ptr<Vault>> open_without_key() {
    return Vault::open({*database_, blocking_, clock_, random_}, {});
  }
  template <class T>
  Result<T> wait(Task<Result<T>> task) {
    std::promise<Result<T>> promise;
    group_.spawn(threads_.executor(0), hand_over(std::move(task), promise));
    return promise.get_future().get();
  }
  Result<Rotated> rotate(Vault& vault, std::optional<std::string_view> name = {}) {
    return wait(vault.rotate(name ? std::optional(file(*name)) : std::nullopt));
  }

  std::filesystem::path directory_;
  SystemClock clock_;
  SeededRandom random_{1};
  IoThreads threads_{2};
  BlockingPool blocking_{2, 1000};
  TaskGroup group_;
  std::unique_ptr<store::Database> database_;
};

TEST_F(VaultTest, WithoutAKeyThereIsNoCipher) {
  auto vault = open_without_key();
  ASSERT_TRUE(vault);
  EXPECT_EQ((*vault)->cipher(), nullptr);
  EXPECT_FALSE((*vault)->status().enabled);
  auto rotated = rotate(**vault);
  ASSERT_FALSE(rotated);
  EXPECT_EQ(rotated.error().id(), ErrorId::GR1004);
}

TEST_F(VaultTest, OpensAfterARestartWhatItSealedBefore) {
  auto vault = open("a");
  ASSERT_TRUE(vault) << vault.error().reason();
  auto& cipher = *(*vault)->cipher();
  EXPECT_FALSE(cipher.is_ready(other_scope));
  EXPECT_EQ(cipher.seal(other_scope, "c", "text").error().code(), Code::not_found);
  ASSERT_TRUE(wait(cipher.prepare(other_scope)));
  auto sealed = cipher.seal(other_scope, "c", "text");
  ASSERT_TRUE(sealed);
  vault->reset();
  reopen_store();
  auto next = open("a");
  ASSERT_TRUE(next) << next.error().reason();
  EXPECT_TRUE((*next)->cipher()->is_ready(other_scope));
  EXPECT_EQ((*next)->cipher()->open(other_scope, "c", *sealed).value_or("?"), "text");
}

TEST_F(VaultTest, RefusesAnotherKeyAndNoKey) {
  ASSERT_TRUE(open("a"));
  auto wrong = open("b");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().id(), ErrorId::GR1001);
  const auto key = read_master_key(file("a"));
  EXPECT_NE(wrong.error().reason().find(fingerprint(*key)), std::string::npos) << wrong.error().reason();
  auto none = open_without_key();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().id(), ErrorId::GR1002);
  EXPECT_TRUE(open("a"));
}

TEST_F(VaultTest, StoresNoKeyInTheClear) {
  auto vault = open("a");
  ASSERT_TRUE(vault);
  ASSERT_TRUE((*vault)->cipher()->prepare_blocking(other_scope));
  ASSERT_TRUE(rotate(**vault, "b"));
  auto rows = read_keys(*database_);
  ASSERT_TRUE(rows);
  ASSERT_EQ(rows->size(), 2u);
  for (const auto& [scope, keys] : *rows) {
    ASSERT_EQ(keys.size(), 2u);
    for (const KeyRow& row : keys) EXPECT_EQ(row.wrapped.size(), SecretKey::size + nonce_size + tag_size);
  }
  const auto master = read_master_key(file("b"));
  database_->stop();
  auto text = os::read_file(directory_ / "store.db", mebibytes(64));
  ASSERT_TRUE(text);
  EXPECT_EQ(text->find(std::string(SecretKey::size, 'b')), std::string::npos);
}

TEST_F(VaultTest, RotationMakesANewKeyForEveryScopeAndKeepsTheOldOnes) {
  auto vault = open("a");
  ASSERT_TRUE(vault);
  auto& cipher = *(*vault)->cipher();
  ASSERT_TRUE(cipher.prepare_blocking(other_scope));
  auto before = cipher.seal(other_scope, "c", "before");
  auto rotated = rotate(**vault);
  ASSERT_TRUE(rotated) << rotated.error().reason();
  EXPECT_EQ(rotated->made, 2u);
  EXPECT_EQ(rotated->wrapped, 0u);
  EXPECT_FALSE(rotated->new_master);
  auto after = cipher.seal(other_scope, "c", "after");
  ASSERT_TRUE(before && after);
  EXPECT_NE(before->substr(0, 4), after->substr(0, 4)) << "the newest key seals";
  const Status status = (*vault)->status();
  ASSERT_EQ(status.scopes.size(), 2u);
  EXPECT_EQ(status.scopes[0].newest, 2u);
  EXPECT_EQ(status.generation, 1u);
  vault->reset();
  auto next = open("a");
  ASSERT_TRUE(next);
  EXPECT_EQ((*next)->cipher()->open(other_scope, "c", *before).value_or("?"), "before");
  EXPECT_EQ((*next)->cipher()->open(other_scope, "c", *after).value_or("?"), "after");
}

TEST_F(VaultTest, ANewMasterKeyTakesThePlaceOfTheOldOne) {
  auto vault = open("a");
  ASSERT_TRUE(vault);
  auto& cipher = *(*vault)->cipher();
  auto sealed = cipher.seal(Scope::standard(), "c", "text");
  ASSERT_TRUE(sealed);
  auto rotated = rotate(**vault, "b");
  ASSERT_TRUE(rotated) << rotated.error().reason();
  EXPECT_TRUE(rotated->new_master);
  EXPECT_EQ(rotated->wrapped, 1u);
  EXPECT_EQ(rotated->generation, 2u);
  // A scope that comes later must be wrapped by the new one, or a restart could not open it.
  ASSERT_TRUE(cipher.prepare_blocking(other_scope));
  vault->reset();
  EXPECT_EQ(open("a").error().id(), ErrorId::GR1001);
  auto next = open("b");
  ASSERT_TRUE(next) << next.error().reason();
  EXPECT_EQ((*next)->cipher()->open(Scope::standard(), "c", *sealed).value_or("?"), "text");
  EXPECT_TRUE((*next)->cipher()->is_ready(other_scope));
}

TEST_F(VaultTest, RefusesARotationToTheSameOrAnUnusableKeyAndGoesOn) {
  auto vault = open("a");
  ASSERT_TRUE(vault);
  for (std::string_view name : {"a", "missing"}) {
    auto rotated = rotate(**vault, name);
    ASSERT_FALSE(rotated) << name;
    EXPECT_EQ(rotated.error().id(), ErrorId::GR1003);
  }
  EXPECT_EQ((*vault)->status().scopes.front().count, 1u);
  EXPECT_TRUE(rotate(**vault, "b"));
}

// The disk is full in the middle of the rotation: what was written before that statement must not count either.
TEST_F(VaultTest, ARotationThatFailsHalfWayLeavesTheOldMasterKeyValid) {
  auto vault = open("a");
  ASSERT_TRUE(vault);
  const auto scope_of = [](int number) { return Scope{"acme", "support", fmt::format("e{}", number)}; };
  for (int i = 0; i < 100; ++i) ASSERT_TRUE((*vault)->cipher()->prepare_blocking(scope_of(i)));
  auto sealed = (*vault)->cipher()->seal(scope_of(99), "c", "text");
  ASSERT_TRUE(sealed);
  vault->reset();
  reopen_store({.max_size = database_->usage()->database});
  vault = open("a");
  ASSERT_TRUE(vault) << vault.error().reason();
  auto rotated = rotate(**vault, "b");
  ASSERT_FALSE(rotated);
  EXPECT_EQ(rotated.error().id(), ErrorId::GR0201) << rotated.error().reason();
  EXPECT_EQ((*vault)->status().generation, 1u);
  EXPECT_EQ((*vault)->cipher()->open(scope_of(99), "c", *sealed).value_or("?"), "text");
  vault->reset();
  reopen_store();
  EXPECT_EQ(open("b").error().id(), ErrorId::GR1001);
  auto next = open("a");
  ASSERT_TRUE(next) << next.error().reason();
  EXPECT_EQ((*next)->cipher()->open(scope_of(99), "c", *sealed).value_or("?"), "text");
}

// The store says which master key is valid, even if this process missed that it changed.
TEST_F(VaultTest, NeverStoresAKeyBesideTheFingerprintOfAnotherMasterKey) {
  auto stale = open("a");
  auto current = open("a");
  ASSERT_TRUE(stale && current);
  ASSERT_TRUE(rotate(**current, "b"));
  auto prepared = (*stale)->cipher()->prepare_blocking(other_scope);
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code(), Code::conflict);
  EXPECT_FALSE(rotate(**stale));
  stale->reset();
  current->reset();
  EXPECT_TRUE(open("b"));
}

TEST_F(VaultTest, ADamagedWrappedKeyIsReportedAtStart) {
  ASSERT_TRUE(open("a"));
  auto rows = read_keys(*database_);
  ASSERT_TRUE(rows);
  KeyRow row = rows->begin()->second.front();
  row.wrapped[30] = static_cast<char>(row.wrapped[30] ^ 1);
  const auto master = read_master_key(file("a"));
  ASSERT_TRUE(
      write_keys(*database_, {.expected = fingerprint(*master), .master = {}, .keys = {{Scope::standard(), {row}}}}));
  auto opened = open("a");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().id(), ErrorId::GR0203);
}

Task<void> append_until(journal::Journal& journal, std::atomic<bool>& stop, std::atomic<int>& stored,
                        std::atomic<int>& failed) {
  while (!stop) {
    journal::Entry entry{.kind = journal::Kind{0x7f01},
                         .scope = stored % 2 == 0 ? Scope::standard() : other_scope,
                         .head = fmt::format("record {}", stored.load()),
                         .body = {}};
    auto appended = co_await journal.append(std::move(entry));
    ++(appended ? stored : failed);
  }
}

TEST_F(VaultTest, AJournalGoesOnWhileKeysAreRotated) {
  journal::MemoryDisk disk;
  auto vault = open("a");
  ASSERT_TRUE(vault);
  auto options = journal::memory_journal_options();
  options.cipher = (*vault)->cipher();
  options.housekeeping_every = std::chrono::hours(1);  // nothing is deleted
  std::atomic<bool> stop = false;
  std::atomic<int> stored = 0, failed = 0;
  auto journal = journal::make_memory_journal(disk, options, clock_, random_);
  ASSERT_TRUE(journal->open());
  for (size_t i = 0; i < 8; ++i) group_.spawn(threads_.executor(i % 2), append_until(*journal, stop, stored, failed));
  for (int i = 0; i < 6; ++i) {
    const int before = stored;
    ASSERT_TRUE(rotate(**vault, i % 2 == 0 ? "b" : "a"));
    const SteadyTime deadline = clock_.steady() + std::chrono::seconds(20);
    while (stored < before + 50 && clock_.steady() < deadline) std::this_thread::yield();
    ASSERT_GE(stored, before + 50);
  }
  stop = true;
  group_.join();
  EXPECT_EQ(failed, 0);
  journal->stop();
  vault->reset();

  auto next = open("a");
  ASSERT_TRUE(next) << next.error().reason();
  options.cipher = (*next)->cipher();
  journal = journal::make_memory_journal(disk, options, clock_, random_);
  ASSERT_TRUE(journal->open());
  auto reader = journal->reader(1);
  int found = 0;
  for (;;) {
    auto batch = reader->next(1000);
    ASSERT_TRUE(batch) << batch.error().reason();
    if (batch->empty()) break;
    for (const journal::Record& record : *batch) EXPECT_TRUE(record.payload.starts_with("record "));
    found += static_cast<int>(batch->size());
  }
  EXPECT_EQ(found, stored);
  journal->stop();
}

}  // namespace
}  // namespace gantry::vault
