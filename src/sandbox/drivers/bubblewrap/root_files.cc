#include "sandbox/drivers/bubblewrap/root_files.h"

#include <sys/stat.h>

#include <array>

#include "os/os.h"

// The bytes of gantry-shim, put into this binary by the assembler (shim/CMakeLists.txt).
extern "C" const char gantry_shim_begin[];
extern "C" const char gantry_shim_end[];

namespace gantry::sandbox::bubblewrap {
namespace {

namespace fs = std::filesystem;

constexpr auto program_paths =
    std::to_array<const char*>({"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"});

// The host's: they name libraries and certificates that packages replace.
constexpr auto host_etc_paths = std::to_array<const char*>({"/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl/certs"});
// Small and stable: copied.
constexpr auto copied_etc_files = std::to_array<const char*>(
    {"/etc/ssl/openssl.cnf", "/etc/mime.types", "/etc/protocols", "/etc/services", "/etc/localtime"});
constexpr Bytes copied_file_limit = mebibytes(1);

constexpr auto masked_proc_files =
    std::to_array<const char*>({"kcore", "keys", "key-users", "kallsyms", "kmsg", "timer_list", "sched_debug",
                                "latency_stats", "sysrq-trigger", "interrupts", "config.gz", "modules"});
constexpr auto masked_proc_directories = std::to_array<const char*>({"acpi", "asound", "driver", "scsi"});

struct GeneratedFile {
  const char* name;
  std::string_view content;
};
constexpr GeneratedFile generated_files[] = {
    {"passwd",
     "root:x:0:0:root:/:/usr/sbin/nologin\n"
     "agent:x:1000:1000:agent:/workspace:/bin/sh\n"
     "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"},
    {"group", "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n"},
    {"nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"},
    {"hosts", "127.0.0.1 localhost\n"},
    {"resolv.conf", ""},
    {"host.conf", "multi on\n"},
    {"shells", "/bin/sh\n/bin/bash\n"},
};

Result<> write_file(const fs::path& path, std::string_view content, os::Mode mode) {
  GANTRY_TRY(os::Fd file, os::open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
  // The umask of the daemon must not hide the file from the sandbox's uid.
  if (fchmod(file.get(), mode) != 0) return fail_errno("set the mode of " + path.string());
  return os::write_all(file, content);
}

Result<> make_open_directory(const fs::path& path) {
  GANTRY_TRY_VOID(os::make_directories(path, 0755));
  if (chmod(path.c_str(), 0755) != 0) return fail_errno("set the mode of " + path.string());
  return {};
}

// A running sandbox keeps the old file: a new shim replaces the name, not the content.
Result<> write_shim(const fs::path& path) {
  std::string_view bytes(gantry_shim_begin, static_cast<size_t>(gantry_shim_end - gantry_shim_begin));
  if (auto present = os::read_file(path, mebibytes(4)); present && *present == bytes) return {};
  fs::path fresh = path;
  fresh += ".new";
  GANTRY_TRY_VOID(write_file(fresh, bytes, 0755));
  if (rename(fresh.c_str(), path.c_str()) != 0) return fail_errno("replace " + path.string());
  return {};
}

// Places for the host's parts, and copies of small files.
Result<> write_etc(const fs::path& etc) {
  GANTRY_TRY_VOID(make_open_directory(etc));
  for (const GeneratedFile& file : generated_files) GANTRY_TRY_VOID(write_file(etc / file.name, file.content, 0644));
  for (const char* source : copied_etc_files) {
    auto content = os::read_file(source, copied_file_limit);
    if (!content) continue;
    fs::path target = etc / fs::path(source).lexically_relative("/etc");
    GANTRY_TRY_VOID(make_open_directory(target.parent_path()));
    GANTRY_TRY_VOID(write_file(target, *content, 0644));
  }
  for (const Mount& mount : find_host_view({}).etc) {
    fs::path target = etc / fs::path(mount.place).lexically_relative("/etc");
    std::error_code ignored;
    if (fs::is_directory(mount.source, ignored)) {
      GANTRY_TRY_VOID(make_open_directory(target));
    } else {
      GANTRY_TRY_VOID(make_open_directory(target.parent_path()));
      GANTRY_TRY_VOID(write_file(target, "", 0644));
    }
  }
  return {};
}

void add_if_there(std::vector<Mount>& mounts, const fs::path& path) {
  std::error_code failed;
  fs::file_status status = fs::symlink_status(path, failed);
  if (failed) return;
  if (fs::is_symlink(status)) {
    fs::path target = fs::read_symlink(path, failed);
    if (!failed) mounts.push_back({Mount::Kind::symlink, target.string(), path.string()});
  } else if (fs::exists(status)) {
    mounts.push_back({Mount::Kind::read_only, path.string(), path.string()});
  }
}

}  // namespace

HostView find_host_view(const std::vector<fs::path>& extra) {
  HostView view;
  std::error_code failed;
  for (const char* path : program_paths) add_if_there(view.programs, path);
  for (const fs::path& path : extra) add_if_there(view.programs, path);
  for (const char* path : host_etc_paths)
    if (fs::exists(path, failed)) view.etc.push_back({Mount::Kind::read_only, path, path});
  // Debian's Java keeps its configuration here, linked from /usr/lib/jvm.
  for (const auto& entry : fs::directory_iterator("/etc", failed))
    if (entry.path().filename().native().starts_with("java-"))
      view.etc.push_back({Mount::Kind::read_only, entry.path().string(), entry.path().string()});
  for (const char* name : masked_proc_files)
    if (fs::exists(fs::path("/proc") / name, failed)) view.proc_files.push_back("/proc/" + std::string(name));
  for (const char* name : masked_proc_directories)
    if (fs::exists(fs::path("/proc") / name, failed)) view.proc_directories.push_back("/proc/" + std::string(name));
  return view;
}

Result<> write_root_files(const fs::path& run_dir) {
  GANTRY_TRY_VOID(os::make_directories(run_dir, 0711));
  if (chmod(run_dir.c_str(), 0711) != 0) return fail_errno("set the mode of " + run_dir.string());
  GANTRY_TRY_VOID(make_open_directory(run_dir / empty_directory));
  GANTRY_TRY_VOID(write_etc(run_dir / etc_directory));
  return write_shim(run_dir / shim_file);
}

std::string hosts_file(std::string_view name) {
  return fmt::format("127.0.0.1 localhost {0}\n::1 localhost ip6-localhost\n", name);
}

}  // namespace gantry::sandbox::bubblewrap
