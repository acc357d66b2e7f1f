#include "agents/workdirs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <system_error>

#include "agents/unpack.h"
#include "crypto/crypto.h"
#include "json/json.h"
#include "os/os.h"

namespace gantry::agents {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view digest_prefix = "sha256:";
constexpr Bytes info_limit{4096};

std::string random_name(Random& random) { return "." + crypto::random_token(random, 12); }

/// Whether something with this name is there, whatever it is.
bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::symlink_status(path, ignored).type() != fs::file_type::not_found;
}

}  // namespace

struct Workdirs::State {
  fs::path revisions;
  fs::path uploads;
  BlockingPool& blocking;
  Random& random;
  WorkdirLimits limits;

  fs::path directory_of(std::string_view digest) const { return revisions / digest.substr(digest_prefix.size()); }
  fs::path info_of(std::string_view digest) const { return directory_of(digest).string() + ".info"; }

  Result<std::optional<Workdir>> find(const std::string& digest) const;
  Result<Workdir> store(const fs::path& archive, const std::string& digest) const;
  Result<Workdir> unpack_beside(const fs::path& archive, const std::string& digest, const fs::path& draft) const;
};

Result<std::optional<Workdir>> Workdirs::State::find(const std::string& digest) const {
  GANTRY_TRY_VOID(crypto::parse_content_address(digest));
  if (!is_there(directory_of(digest))) return std::nullopt;
  GANTRY_TRY(const std::string text, os::read_file(info_of(digest), info_limit));
  GANTRY_TRY(const json::Value info, json::parse(text));
  GANTRY_TRY(const uint64_t files, json::get_uint(info, "files"));
  GANTRY_TRY(const uint64_t bytes, json::get_uint(info, "bytes"));
  // Who asks is about to deploy it: `collect` counts its grace from here.
  // SAFETY: utimensat(2) of a path of ours; a failure only shortens the grace.
  ::utimensat(AT_FDCWD, directory_of(digest).c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  return Workdir{digest, files, Bytes{bytes}};
}

Result<Workdir> Workdirs::State::store(const fs::path& archive, const std::string& digest) const {
  GANTRY_TRY(std::optional<Workdir> known, find(digest));
  if (known.has_value()) return *known;
  const fs::path draft = revisions / random_name(random);
  auto stored = unpack_beside(archive, digest, draft);
  // Nothing is there any more if it was renamed into place.
  if (auto removed = os::remove_tree(draft); !removed.has_value() && stored.has_value())
    return std::unexpected(std::move(removed).error());
  return stored;
}

Result<Workdir> Workdirs::State::unpack_beside(const fs::path& archive, const std::string& digest,
                                               const fs::path& draft) const {
  GANTRY_TRY_VOID(os::make_directories(draft, 0755));
  GANTRY_TRY(const Unpacked unpacked, unpack(archive, draft, limits));
  GANTRY_TRY(const os::Fd directory, os::open_directory(draft));
  // SAFETY: syncfs(2) on an open descriptor. One call for thousands of files: after a power cut the name
  // must not lead to files without their content.
  if (::syncfs(directory.get()) != 0) return fail_errno("flush the workdir");
  const json::Object info{{"files", unpacked.files}, {"bytes", unpacked.bytes.count}};
  GANTRY_TRY_VOID(os::replace_file(info_of(digest), json::serialize(info), 0600));
  std::error_code error;
  fs::rename(draft, directory_of(digest), error);
  // Another upload of the same content was faster.
  if (error && !is_there(directory_of(digest)))
    return std::unexpected(errno_error(error.value(), "rename the workdir into place"));
  GANTRY_TRY_VOID(os::sync_directory(revisions));
  return Workdir{digest, unpacked.files, unpacked.bytes};
}

namespace {

/// Spools to a file and hashes on the way; every call runs on the blocking pool.
class SpooledUpload final : public WorkdirUpload {
 public:
  SpooledUpload(fs::path path, os::Fd file, BlockingPool& blocking, Bytes limit,
                std::function<Result<Workdir>(const fs::path&, const std::string&)> store)
      : path_(std::move(path)), file_(std::move(file)), blocking_(blocking), limit_(limit), store_(std::move(store)) {}
  ~SpooledUpload() override {
    // SAFETY: unlink(2) of a name that only this object uses; fast, also on an I/O thread.
    ::unlink(path_.c_str());
  }

  Task<Result<>> write(std::string chunk) override {
    size_ += chunk.size();
    if (size_ > limit_.count) co_return fail(ErrorId::GR0503, "the upload is larger than {}", format_bytes(limit_));
    auto written = co_await blocking_.run([this, &chunk] {
      hash_.update(chunk);
      return os::write_all(file_, chunk);
    });
    if (!written.has_value()) co_return std::unexpected(std::move(written).error());
    co_return *written;
  }

  Task<Result<Workdir>> finish() override {
    auto stored = co_await blocking_.run([this] {
      file_.reset();
      return store_(path_, crypto::content_address(hash_.finish()));
    });
    if (!stored.has_value()) co_return std::unexpected(std::move(stored).error());
    co_return *stored;
  }

 private:
  const fs::path path_;
  os::Fd file_;
  BlockingPool& blocking_;
  const Bytes limit_;
  const std::function<Result<Workdir>(const fs::path&, const std::string&)> store_;
  crypto::Sha256 hash_;
  uint64_t size_ = 0;
};

/// Old enough that nobody is about to use it; what cannot be looked at is left alone.
bool is_older(const fs::path& path, Duration grace, Clock& clock) {
  struct stat status{};
  // SAFETY: lstat(2) into a local struct.
  if (::lstat(path.c_str(), &status) != 0) return false;
  const Time changed{std::chrono::seconds(status.st_mtim.tv_sec) + std::chrono::nanoseconds(status.st_mtim.tv_nsec)};
  return clock.now() - changed >= grace;
}

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> all;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    all.push_back(it->path());
  return all;
}

}  // namespace

Workdirs::Workdirs(fs::path data, BlockingPool& blocking, Random& random, WorkdirLimits limits)
    : state_(std::make_shared<State>(State{data / "revisions", data / "uploads", blocking, random, limits})) {}

Workdirs::~Workdirs() = default;

Task<Result<std::unique_ptr<WorkdirUpload>>> Workdirs::begin() {
  const auto state = state_;
  const fs::path path = state->uploads / random_name(state->random);
  auto opened = co_await state->blocking.run([&]() -> Result<os::Fd> {
    GANTRY_TRY_VOID(os::make_directories(state->uploads, 0700));
    GANTRY_TRY_VOID(os::make_directories(state->revisions, 0755));
    return os::open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  });
  if (!opened.has_value()) co_return std::unexpected(std::move(opened).error());
  if (!opened->has_value()) co_return std::unexpected(std::move(*opened).error());
  co_return std::make_unique<SpooledUpload>(
      path, std::move(**opened), state->blocking, state->limits.upload,
      [state](const fs::path& archive, const std::string& digest) { return state->store(archive, digest); });
}

Task<Result<std::optional<Workdir>>> Workdirs::find(std::string digest) {
  const auto state = state_;
  auto found = co_await state->blocking.run([&] { return state->find(digest); });
  if (!found.has_value()) co_return std::unexpected(std::move(found).error());
  co_return *found;
}

fs::path Workdirs::path_of(std::string_view digest) const { return state_->directory_of(digest); }

Result<> Workdirs::collect(const std::vector<std::string>& used, Duration grace, Clock& clock) {
  std::set<std::string> keep;
  for (const std::string& digest : used) keep.insert(state_->directory_of(digest).filename());
  for (const fs::path& path : entries_of(state_->revisions)) {
    // The information goes with its directory, which is the entry that decides.
    if (path.extension() == ".info" && is_there(path.parent_path() / path.stem())) continue;
    if (keep.contains(path.stem()) || !is_older(path, grace, clock)) continue;
    GANTRY_TRY_VOID(os::remove_tree(path));
    GANTRY_TRY_VOID(os::remove_tree(path.string() + ".info"));
  }
  for (const fs::path& path : entries_of(state_->uploads))
    if (is_older(path, grace, clock)) GANTRY_TRY_VOID(os::remove_tree(path));
  return {};
}

}  // namespace gantry::agents
