#include "identity/identity.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <future>

#include "os/os.h"

namespace gantry::identity {
namespace {

class IdentityTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "gantry-identity-XXXXXX").string();
    // SAFETY: mkdtemp(3) writes into the string, which has its length already.
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    threads_.start();
    open_store();
    open();
  }
  void TearDown() override {
    identity_.reset();
    database_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  void open_store() {
    const store::Migrations schema[] = {migrations()};
    auto opened = store::open_sqlite(directory_ / "store.db", schema);
    ASSERT_TRUE(opened.has_value()) << opened.error().reason();
    database_ = std::move(*opened);
  }
  void open() {
    auto opened = Identity::open(*database_, clock_, random_);
    ASSERT_TRUE(opened.has_value()) << opened.error().reason();
    identity_ = std::move(*opened);
  }
  std::filesystem::path file() const { return directory_ / "root.key"; }
  std::string token_in_file() const {
    std::ifstream in(file());
    std::string line;
    std::getline(in, line);
    return line;
  }
  Result<> ensure() { return identity_->ensure_root_key(file(), Scope::standard()); }

  /// Runs a task on an I/O thread and waits for its result.
  template <class T>
  T run(Task<T> task) {
    std::promise<T> promise;
    auto future = promise.get_future();
    tasks_.spawn(threads_.executor(0), keep(std::move(task), promise));
    return future.get();
  }
  template <class T>
  static Task<void> keep(Task<T> task, std::promise<T>& promise) {
    promise.set_value(co_await std::move(task));
  }
  CreatedKey create(std::string name, PrincipalKind kind = PrincipalKind::key, Scope scope = Scope::standard()) {
    auto created = run(identity_->create(scope, std::move(name), kind));
    EXPECT_TRUE(created.has_value());
    return created.value();
  }
  ErrorId error_of(std::string_view token) {
    auto principal = identity_->authenticate(token);
    return principal.has_value() ? ErrorId::none : principal.error().id();
  }

  std::filesystem::path directory_;
  ManualClock clock_;
  SystemRandom random_;
  IoThreads threads_{1};
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<Identity> identity_;
  struct Tasks : TaskGroup {
    ~Tasks() { join(); }
  } tasks_;
};

TEST_F(IdentityTest, WritesARootKeyThatOnlyTheOwnerReadsAndThatWorks) {
  ASSERT_TRUE(ensure().has_value());
  struct stat status{};
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(status.st_nlink, 1u);
  auto principal = identity_->authenticate(token_in_file());
  ASSERT_TRUE(principal.has_value());
  EXPECT_EQ((*principal)->name, "root");
  EXPECT_EQ((*principal)->kind, PrincipalKind::root);
  EXPECT_EQ((*principal)->scope, Scope::standard());
}

TEST_F(IdentityTest, KeepsTheRootKeyAcrossARestart) {
  ASSERT_TRUE(ensure().has_value());
  const std::string token = token_in_file();
  open();
  ASSERT_TRUE(ensure().has_value());
  EXPECT_EQ(token_in_file(), token);
  EXPECT_TRUE(identity_->authenticate(token).has_value());
  EXPECT_EQ(run(identity_->list(Scope::standard())).value().size(), 1u);
}

TEST_F(IdentityTest, AdoptsTheKeyInTheFileWhenTheStoreWasLost) {
  ASSERT_TRUE(ensure().has_value());
  identity_.reset();
  database_.reset();
  for (const char* suffix : {"", "-wal", "-shm"})
    std::filesystem::remove(directory_ / ("store.db" + std::string(suffix)));
  open_store();
  open();
  ASSERT_TRUE(ensure().has_value());
  EXPECT_TRUE(identity_->authenticate(token_in_file()).has_value());
}

TEST_F(IdentityTest, WritesANewKeyWhenTheFileWasLost) {
  ASSERT_TRUE(ensure().has_value());
  const std::string old = token_in_file();
  std::filesystem::remove(file());
  ASSERT_TRUE(ensure().has_value());
  EXPECT_NE(token_in_file(), old);
  EXPECT_EQ(identity_->authenticate(token_in_file()).value()->name, "root-2");
}

TEST_F(IdentityTest, RefusesAKeyFileThatOthersCanRead) {
  ASSERT_TRUE(ensure().has_value());
  for (mode_t mode : {0640, 0604, 0620, 0602}) {
    ASSERT_EQ(::chmod(file().c_str(), mode), 0);
    auto ensured = ensure();
    ASSERT_FALSE(ensured.has_value()) << mode;
    EXPECT_EQ(ensured.error().id(), ErrorId::GR0902);
  }
}

TEST_F(IdentityTest, RefusesAKeyFileThatIsALinkOrAFifo) {
  const auto target = directory_ / "elsewhere";
  std::ofstream(target) << "gk_" << std::string(43, 'A') << "\n";
  std::filesystem::create_symlink(target, file());
  EXPECT_FALSE(ensure().has_value());
  std::filesystem::remove(file());
  ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
  auto ensured = ensure();
  ASSERT_FALSE(ensured.has_value());
  EXPECT_EQ(ensured.error().id(), ErrorId::GR0902);
}

TEST_F(IdentityTest, RefusesAKeyFileWithoutAKey) {
  for (const char* content : {"", "\n", "gk_short\n", "hello"}) {
    auto written = os::replace_file(file(), content, 0600);
    ASSERT_TRUE(written.has_value());
    auto ensured = ensure();
    ASSERT_FALSE(ensured.has_value());
    EXPECT_EQ(ensured.error().id(), ErrorId::GR0904) << content;
  }
}

TEST_F(IdentityTest, DoesNotReviveARevokedKeyByItsFile) {
  ASSERT_TRUE(ensure().has_value());
  create("second", PrincipalKind::root);
  const KeyId root = identity_->authenticate(token_in_file()).value()->key;
  ASSERT_TRUE(run(identity_->revoke(Scope::standard(), root)).has_value());
  auto ensured = ensure();
  ASSERT_FALSE(ensured.has_value());
  EXPECT_EQ(ensured.error().id(), ErrorId::GR0901);
}

TEST_F(IdentityTest, KnowsOnlyTheTokensThatItGaveOut) {
  ASSERT_TRUE(ensure().has_value());
  std::string other = token_in_file();
  other.back() = other.back() == 'A' ? 'B' : 'A';
  for (const std::string& token : {std::string(), std::string("gk_"), std::string("root"), other, token_in_file() + "x",
                                   token_in_file().substr(1)})
    EXPECT_EQ(error_of(token), ErrorId::GR0901) << token;
}

TEST_F(IdentityTest, NeverStoresAToken) {
  const std::string token = create("ci").token;
  ASSERT_TRUE(database_->backup(directory_ / "copy.db").has_value());
  auto content = os::read_file(directory_ / "copy.db", mebibytes(16));
  ASSERT_TRUE(content.has_value());
  EXPECT_NE(content->find("ci"), std::string::npos);
  EXPECT_EQ(content->find(token), std::string::npos);
  EXPECT_EQ(content->find(token.substr(3)), std::string::npos);
}

TEST_F(IdentityTest, CreatesKeysThatSurviveAndCanBeRevoked) {
  const CreatedKey ci = create("ci");
  open();
  auto principal = identity_->authenticate(ci.token);
  ASSERT_TRUE(principal.has_value());
  EXPECT_EQ((*principal)->name, "ci");
  EXPECT_EQ((*principal)->kind, PrincipalKind::key);
  create("root", PrincipalKind::root);
  clock_.advance(std::chrono::seconds(5));
  ASSERT_TRUE(run(identity_->revoke(Scope::standard(), ci.key.id)).has_value());
  EXPECT_EQ(error_of(ci.token), ErrorId::GR0901);
  EXPECT_EQ(run(identity_->list(Scope::standard())).value().front().revoked_at, clock_.now());
  open();
  EXPECT_EQ(error_of(ci.token), ErrorId::GR0901);
  EXPECT_EQ(run(identity_->revoke(Scope::standard(), ci.key.id)).error().code(), Code::not_found);
}

TEST_F(IdentityTest, KeepsTheLastRootKey) {
  const CreatedKey root = create("root", PrincipalKind::root);
  create("ci");
  auto revoked = run(identity_->revoke(Scope::standard(), root.key.id));
  ASSERT_FALSE(revoked.has_value());
  EXPECT_EQ(revoked.error().id(), ErrorId::GR0903);
  EXPECT_TRUE(identity_->authenticate(root.token).has_value());
}

TEST_F(IdentityTest, KeepsNamesOfLiveKeysUniqueWithinAScope) {
  create("root", PrincipalKind::root);
  const CreatedKey ci = create("ci");
  auto twice = run(identity_->create(Scope::standard(), "ci", PrincipalKind::key));
  ASSERT_FALSE(twice.has_value());
  EXPECT_EQ(twice.error().code(), Code::conflict);
  EXPECT_TRUE(run(identity_->revoke(Scope::standard(), ci.key.id)).has_value());
  create("ci");
  create("ci", PrincipalKind::key, Scope{"acme", "sales", "prod"});
  auto unnamed = run(identity_->create(Scope::standard(), "No Name", PrincipalKind::key));
  ASSERT_FALSE(unnamed.has_value());
  EXPECT_EQ(unnamed.error().code(), Code::invalid);
}

TEST_F(IdentityTest, DoesNotRevokeAKeyOfAnotherScope) {
  const Scope other{"acme", "sales", "prod"};
  const CreatedKey theirs = create("ci", PrincipalKind::key, other);
  create("root", PrincipalKind::root);
  EXPECT_EQ(run(identity_->revoke(Scope::standard(), theirs.key.id)).error().code(), Code::not_found);
  EXPECT_EQ(identity_->authenticate(theirs.token).value()->scope, other);
}

}  // namespace
}  // namespace gantry::identity
