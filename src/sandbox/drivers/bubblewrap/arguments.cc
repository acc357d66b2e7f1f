#include "sandbox/drivers/bubblewrap/arguments.h"

#include <initializer_list>

#include "sandbox/spawn/protocol.h"

namespace gantry::sandbox::bubblewrap {
namespace {

class Arguments {
 public:
  void add(std::initializer_list<std::string_view> words) {
    for (std::string_view word : words) {
      text_ += word;
      text_ += '\0';
    }
  }
  void mount(const Mount& mount) {
    add({mount.kind == Mount::Kind::symlink ? "--symlink" : "--ro-bind", mount.source, mount.place});
  }
  void tmpfs(Bytes size, std::string_view place) {
    add({"--perms", "1777"});
    if (size.count > 0) add({"--size", std::to_string(size.count)});
    add({"--tmpfs", place});
  }
  std::string take() && { return std::move(text_); }

 private:
  std::string text_;
};

// All namespaces; a user namespace also as root, because without one a root with all capabilities dropped
// and seccomp on still wrote to the host's /proc/sys/kernel/core_pattern.
void isolate(Arguments& arguments, const Spec& spec) {
  arguments.add({"--unshare-all", "--unshare-user", "--unshare-cgroup", "--disable-userns", "--as-pid-1"});
  arguments.add({"--cap-drop", "ALL", "--new-session", "--clearenv"});
  arguments.add({"--uid", "1000", "--gid", "1000", "--hostname", spec.name});
}

void mask_proc(Arguments& arguments, const HostView& host, const SandboxPlaces& places) {
  arguments.add({"--proc", "/proc"});
  // A read-only bind is nodev: opening the mask fails with EACCES.
  for (const std::string& file : host.proc_files) arguments.add({"--ro-bind", "/dev/null", file});
  for (const std::string& directory : host.proc_directories)
    arguments.add({"--ro-bind", (places.run_dir / empty_directory).native(), directory});
}

// What is made anew must hold the mount points, and is closed when they are there.
void put_app_together(Arguments& arguments, const SandboxPlaces& places) {
  constexpr std::string_view directory_size = "1048576";
  if (places.app.empty()) arguments.add({"--ro-bind", (places.run_dir / empty_directory).native(), "/app"});
  for (const AppPart& part : places.app) {
    switch (part.kind) {
      case AppPart::Kind::files:
        arguments.add({"--ro-bind", part.source.native(), part.place});
        break;
      case AppPart::Kind::link:
        arguments.add({"--symlink", part.source.native(), part.place});
        break;
      case AppPart::Kind::empty:
        arguments.add({"--perms", "0755", "--size", directory_size, "--tmpfs", part.place});
        break;
    }
  }
}

void close_app(Arguments& arguments, const SandboxPlaces& places) {
  for (const AppPart& part : places.app)
    if (part.kind == AppPart::Kind::empty) arguments.add({"--remount-ro", part.place});
}

}  // namespace

std::string bwrap_arguments(const HostView& host, const SandboxPlaces& places, const Spec& spec) {
  Arguments arguments;
  isolate(arguments, spec);
  for (std::string_view directory : {"/run", "/run/gantry", "/var"})
    arguments.add({"--perms", "0755", "--dir", directory});
  for (const Mount& mount : host.programs) arguments.mount(mount);

  arguments.add({"--ro-bind", (places.run_dir / etc_directory).native(), "/etc"});
  for (const Mount& mount : host.etc) arguments.mount(mount);
  arguments.add({"--ro-bind", places.hosts.native(), "/etc/hosts"});

  mask_proc(arguments, host, places);
  // The device directory is a tmpfs of its own and would be a second, unbounded /tmp.
  arguments.add({"--dev", "/dev"});
  arguments.tmpfs(spec.limits.tmp, "/dev/shm");
  arguments.add({"--remount-ro", "/dev"});
  arguments.tmpfs(spec.limits.tmp, "/tmp");
  arguments.add({"--symlink", "/tmp", "/var/tmp"});

  put_app_together(arguments, places);
  arguments.add({"--bind", places.workspace.native(), "/workspace"});
  for (const Volume& volume : places.volumes) {
    const bool is_read_only = volume.access == Volume::Access::read_only;
    arguments.add({is_read_only ? "--ro-bind" : "--bind", volume.host.native(), volume.place});
  }
  close_app(arguments, places);
  arguments.add({"--ro-bind", (places.run_dir / shim_file).native(), spawn::shim_place});
  arguments.add({"--remount-ro", "/", "--chdir", "/"});
  return std::move(arguments).take();
}

}  // namespace gantry::sandbox::bubblewrap
