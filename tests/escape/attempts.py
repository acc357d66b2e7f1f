"""tidy: table

Attempts to get out of a sandbox, one function each. Run inside by escape_test.cc.

    attempts.py --list     name, class and how, a line each, separated by tabs
    attempts.py NAME       tries it and prints one line: `blocked …`, `contained …` or `ESCAPED …`

`blocked` means that the kernel refused. `contained` means that it worked on the sandbox itself, where it is
allowed to; the runner judges from outside that nothing else changed. An attempt that raises OSError was
blocked by that error. What to aim at comes in the environment: see `Target` below.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import pty
import resource
import signal
import socket
import struct
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
ATTEMPTS = {}


class Target:
    """What the runner put on the host to be reached."""

    secret_path = os.environ.get("SECRET_PATH", "")  # world-readable file of the host
    neighbour_pid = int(os.environ.get("NEIGHBOUR_PID", "0"))  # on the host
    neighbour_workspace = os.environ.get("NEIGHBOUR_WORKSPACE", "")
    daemon_pid = int(os.environ.get("DAEMON_PID", "0"))
    host_port = int(os.environ.get("HOST_PORT", "0"))  # a listener on the host's 127.0.0.1
    host_address = os.environ.get("HOST_ADDRESS", "127.0.0.1")  # of the host's network card
    host_socket = os.environ.get("HOST_SOCKET", "")  # path of a Unix socket of the host, mode 0666
    abstract_socket = os.environ.get("ABSTRACT_SOCKET", "")
    control_socket = os.environ.get("CONTROL_SOCKET", "")


class Escaped(Exception):
    """The attempt succeeded."""


class Contained(Exception):
    """It had an effect, on the sandbox alone."""


def attempt(kind, how):
    def register(function):
        ATTEMPTS[function.__name__] = (kind, how, function)
        return function

    return register


def syscall(number, *arguments):
    """A raw system call; raises OSError as Python's own functions do."""
    ctypes.set_errno(0)
    converted = [a if isinstance(a, (bytes, ctypes.Array)) or a is None else ctypes.c_long(a) for a in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *converted)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def must_fail(what, call, *arguments):
    """Every one of several ways has to be refused."""
    try:
        call(*arguments)
    except (OSError, ValueError):  # Python turns EPERM of setrlimit into ValueError
        return
    raise Escaped(what)


def write_to(path, text=b"escaped"):
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, text)


# System call numbers of x86_64.
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096

# Writing outside ------------------------------------------------------------------------------------------


def refuse_writes(*paths):
    for path in paths:
        must_fail(f"wrote {path}", lambda p: os.open(p, os.O_WRONLY | os.O_CREAT, 0o644), path)


@attempt("write outside", "replace the user database")
def write_passwd():
    refuse_writes("/etc/passwd", "/etc/shadow", "/etc/ld.so.preload", "/etc/hosts")


@attempt("write outside", "put a program into the host's /usr")
def write_usr():
    refuse_writes("/usr/bin/escaped", "/usr/bin/python3", "/usr/lib/escaped", "/bin/escaped", "/lib/escaped")


@attempt("write outside", "change the code that the daemon mounted at /app")
def write_app():
    refuse_writes("/app/attempts.py", "/app/new")
    must_fail("removed", os.unlink, "/app/attempts.py")
    must_fail("changed mode", os.chmod, "/app/attempts.py", 0o777)


@attempt("write outside", "make files in the root directory")
def write_root():
    refuse_writes("/escaped", "/run/escaped", "/run/gantry/escaped", "/var/escaped", "/dev/escaped")
    must_fail("made a directory", os.mkdir, "/escaped")


@attempt("write outside", "overwrite the shim, which every sandbox shares")
def write_shim():
    refuse_writes("/run/gantry/shim")
    must_fail("renamed", os.rename, "/run/gantry/shim", "/workspace/shim")


@attempt("write outside", "hard link into the read-only /usr, then write through the link")
def hard_link():
    os.link("/usr/bin/python3", "/workspace/link")
    write_to("/workspace/link")
    raise Escaped("linked")


@attempt("write outside", "give away set-user-id files from the workspace")
def setuid_file():
    with open("/usr/bin/id", "rb") as source, open("/workspace/id", "wb") as copy:
        copy.write(source.read())
    os.chmod("/workspace/id", 0o6755)
    if os.geteuid() == 0 or "uid=0" in os.popen("/workspace/id").read():
        raise Escaped("root by a set-user-id file")
    raise Contained("nosuid")


@attempt("write outside", "become root through the host's set-user-id programs")
def setuid_program():
    for program in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/newgrp", "/usr/bin/mount", "/usr/bin/sudo"):
        if os.path.exists(program):
            child = os.popen(f"{program} --version 2>&1; cat /proc/self/status | grep NoNewPrivs")
            if "NoNewPrivs:\t1" not in child.read():
                raise Escaped("privileges can be gained")
    raise Contained("no_new_privs")


@attempt("write outside", "make a block device and write the disk")
def block_device():
    import stat

    for place in ("/workspace/disk", "/tmp/disk"):
        os.mknod(place, 0o666 | stat.S_IFBLK, os.makedev(254, 0))
        write_to(place)
    raise Escaped("wrote the disk")


@attempt("write outside", "find devices of the host")
def host_devices():
    allowed = set("null zero full random urandom tty ptmx pts shm fd stdin stdout stderr core console".split())
    extra = set(os.listdir("/dev")) - allowed
    if extra:
        raise Escaped(f"devices {sorted(extra)}")
    for name in ("mem", "kmem", "port", "kmsg", "kvm", "fuse", "vda", "sda", "net/tun", "vhost-net"):
        must_fail(f"opened /dev/{name}", os.open, f"/dev/{name}", os.O_RDONLY)


@attempt("write outside", "write a read-only file through /proc/self/mem")
def self_mem():
    # Copy-on-write must copy: the classic of 2016.
    descriptor = os.open("/usr/bin/env", os.O_RDONLY)
    view = mmap.mmap(descriptor, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
    before = bytes(view[:16])
    with open("/proc/self/maps") as maps:
        address = next(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith("/env"))
    memory = os.open("/proc/self/mem", os.O_RDWR)
    os.lseek(memory, address, os.SEEK_SET)
    os.write(memory, b"escaped")
    if os.pread(descriptor, 16, 0) != before:
        raise Escaped("the file changed")
    raise Contained("a private copy")


@attempt("write outside", "write the page cache of a read-only file through a pipe")
def dirty_pipe():
    descriptor = os.open("/usr/bin/env", os.O_RDONLY)
    before = os.pread(descriptor, 64, 0)
    read_end, write_end = os.pipe()
    size = fcntl.fcntl(write_end, 1031, 65536)
    os.write(write_end, b"x" * size)
    os.read(read_end, size)
    os.splice(descriptor, write_end, 1, offset_src=3)
    os.write(write_end, b"escaped")
    if os.pread(descriptor, 64, 0) != before:
        raise Escaped("the page cache changed")
    raise Contained("the pipe alone")


# Reading outside ------------------------------------------------------------------------------------------


def reveal(path):
    with open(path, "rb") as file:
        print(file.read(4096).decode(errors="replace"))
    raise Escaped(path)


@attempt("read outside", "open a world-readable file of the host by its path")
def host_path():
    reveal(Target.secret_path)


@attempt("read outside", "climb out of the workspace with ..")
def dot_dot():
    reveal("/workspace/" + "../" * 20 + Target.secret_path)


@attempt("read outside", "go through the root of pid 1")
def proc_root():
    reveal("/proc/1/root" + Target.secret_path)


@attempt("read outside", "go through the working directory and the descriptors of pid 1")
def proc_links():
    for link in ["/proc/1/cwd", "/proc/1/exe"] + [f"/proc/1/fd/{n}" for n in range(20)]:
        must_fail(link, os.readlink, link)
        must_fail(link, os.stat, link)


@attempt("read outside", "escape a chroot inside the sandbox, the classic way")
def chroot_dance():
    os.mkdir("/workspace/cell")
    root = os.open("/", os.O_RDONLY)
    os.chroot("/workspace/cell")
    os.fchdir(root)
    for _ in range(20):
        os.chdir("..")
    os.chroot(".")
    reveal(Target.secret_path)


@attempt("read outside", "open files of the host by handle, past all mounts")
def handle_at():
    handle = struct.pack("IiQ", 8, 1, 2)  # inode 2: the root of the host's file system
    descriptor = syscall(304, os.open("/usr", os.O_RDONLY), ctypes.create_string_buffer(handle), os.O_RDONLY)
    raise Escaped(os.listdir(descriptor))


@attempt("read outside", "make handles to be opened elsewhere")
def name_to_handle():
    buffer = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + b"\0" * 128)
    mount = ctypes.create_string_buffer(8)
    syscall(303, -100, b"/usr", buffer, mount, 0)
    raise Escaped("a handle")


@attempt("read outside", "read the passwords and the homes of the host")
def host_files():
    for path in ("/etc/shadow", "/root", "/home", "/boot", "/var/log", "/var/lib", "/mnt", "/opt", "/srv"):
        must_fail(path, os.stat, path)


@attempt("read outside", "read the neighbour's workspace")
def neighbour_files():
    must_fail("neighbour", os.listdir, Target.neighbour_workspace)
    reveal(Target.neighbour_workspace + "/secret")


@attempt("read outside", "read the kernel's secrets in /proc")
def proc_secrets():
    for name in ("kcore", "keys", "key-users", "kallsyms", "kmsg", "timer_list", "sched_debug", "interrupts"):
        path = "/proc/" + name
        try:
            with open(path, "rb") as file:
                if file.read(16):
                    raise Escaped(path)
        except OSError:
            pass
    for name in ("acpi", "scsi", "asound", "driver"):
        if os.path.isdir("/proc/" + name) and os.listdir("/proc/" + name):
            raise Escaped("/proc/" + name)


@attempt("read outside", "look at hardware and kernel in /sys")
def sys_files():
    for path in ("/sys/kernel", "/sys/firmware", "/sys/fs/cgroup", "/sys/class/net", "/sys/devices"):
        must_fail(path, os.stat, path)


@attempt("read outside", "find the daemon's descriptors in the own process")
def own_descriptors():
    open_ones = [n for n in os.listdir("/proc/self/fd") if int(n) > 2]
    for number in open_ones:
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the one that listed the directory
        if "/app" not in target:
            raise Escaped(target)


@attempt("read outside", "find the daemon's environment")
def environment():
    text = " ".join(f"{k}={v}" for k, v in os.environ.items())
    if "GANTRY_HOST_SECRET" in text:
        raise Escaped("the environment of the daemon")
    reveal("/proc/1/environ")


@attempt("read outside", "read the kernel's log")
def kernel_log():
    must_fail("syslog", syscall, 103, 3, ctypes.create_string_buffer(4096), 4096)
    must_fail("/dev/kmsg", os.open, "/dev/kmsg", os.O_RDONLY)


# Changing the machine -------------------------------------------------------------------------------------


@attempt("change the machine", "run a program of ours at every crash on the host")
def core_pattern():
    write_to("/proc/sys/kernel/core_pattern", b"|/workspace/escaped")
    raise Escaped("core_pattern")


@attempt("change the machine", "reboot by the magic key")
def sysrq():
    write_to("/proc/sysrq-trigger", b"h")
    raise Escaped("sysrq")


@attempt("change the machine", "change settings of the kernel")
def sysctl():
    for path in ("kernel/modprobe", "vm/overcommit_memory", "net/ipv4/ip_forward", "fs/file-max", "kernel/hostname"):
        must_fail(path, write_to, "/proc/sys/" + path, b"1")


@attempt("change the machine", "change the host name")
def host_name():
    must_fail("sethostname", syscall, 170, b"escaped", 7)
    must_fail("setdomainname", syscall, 171, b"escaped", 7)


@attempt("change the machine", "set the clock")
def clock():
    must_fail("settimeofday", syscall, 164, ctypes.create_string_buffer(16), None)
    must_fail("clock_settime", syscall, 227, 0, ctypes.create_string_buffer(16))
    must_fail("adjtimex", syscall, 159, ctypes.create_string_buffer(256))


@attempt("change the machine", "load a kernel module")
def modules():
    must_fail("init_module", syscall, 175, ctypes.create_string_buffer(64), 64, b"")
    must_fail("finit_module", syscall, 313, 0, b"", 0)
    must_fail("delete_module", syscall, 176, b"x", 0)


@attempt("change the machine", "start another kernel")
def kexec():
    must_fail("kexec_load", syscall, 246, 0, 0, None, 0)
    must_fail("kexec_file_load", syscall, 320, 0, 0, 0, b"", 0)


@attempt("change the machine", "reboot")
def reboot():
    syscall(169, 0xFEE1DEAD, 672274793, 0x01234567, None)
    raise Escaped("rebooted")


@attempt("change the machine", "add swap, accounting, quotas")
def administration():
    must_fail("swapon", syscall, 167, b"/workspace/swap", 0)
    must_fail("acct", syscall, 163, b"/workspace/acct")
    must_fail("quotactl", syscall, 179, 0, b"/", 0, None)
    must_fail("nfsservctl", syscall, 180, 0, None, None)


@attempt("change the machine", "reach the hardware's ports")
def ports():
    must_fail("iopl", syscall, 172, 3)
    must_fail("ioperm", syscall, 173, 0x3F8, 1, 1)


@attempt("change the machine", "read and write with the loader of a cgroup's release agent")
def release_agent():
    os.mkdir("/tmp/cg")
    must_fail("mount cgroup", syscall, 165, b"cgroup", b"/tmp/cg", b"cgroup", 0, b"memory")
    must_fail("mount cgroup2", syscall, 165, b"cgroup2", b"/tmp/cg", b"cgroup2", 0, None)


# Mounts and namespaces ------------------------------------------------------------------------------------


@attempt("mount", "mount a proc, a tmpfs and a bind")
def mount_new():
    os.mkdir("/tmp/m")
    must_fail("proc", syscall, 165, b"proc", b"/tmp/m", b"proc", 0, None)
    must_fail("tmpfs", syscall, 165, b"tmpfs", b"/tmp/m", b"tmpfs", 0, None)
    must_fail("bind", syscall, 165, b"/usr", b"/tmp/m", None, MS_BIND, None)


@attempt("mount", "make the read-only mounts writable")
def remount():
    for path in (b"/usr", b"/app", b"/", b"/etc", b"/proc/sys"):
        must_fail(path, syscall, 165, None, path, None, MS_REMOUNT | MS_BIND, None)


@attempt("mount", "take the masks off /proc")
def unmask():
    for path in (b"/proc/kcore", b"/proc/keys", b"/proc/kallsyms", b"/dev", b"/tmp", b"/"):
        must_fail(path, syscall, 166, path, 2)


@attempt("mount", "use the new mount calls")
def mount_api():
    must_fail("fsopen", syscall, 430, b"tmpfs", 0)
    must_fail("open_tree", syscall, 428, -100, b"/", 1)
    must_fail("move_mount", syscall, 429, -100, b"/usr", -100, b"/tmp", 0)
    must_fail("fspick", syscall, 433, -100, b"/", 0)
    must_fail("mount_setattr", syscall, 442, -100, b"/usr", 0, ctypes.create_string_buffer(32), 32)
    must_fail("fsconfig", syscall, 431, 0, 0, None, None, 0)
    must_fail("fsmount", syscall, 432, 0, 0, 0)


@attempt("mount", "pivot to another root")
def pivot():
    os.makedirs("/tmp/root/old")
    syscall(155, b"/tmp/root", b"/tmp/root/old")
    raise Escaped("pivoted")


@attempt("namespace", "make a user namespace and be root in it")
def unshare_user():
    syscall(272, CLONE_NEWUSER)
    raise Escaped("a user namespace")


@attempt("namespace", "make every kind of namespace by unshare")
def unshare_all():
    for flag in (CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET, 0x80):
        must_fail(hex(flag), syscall, 272, flag)


@attempt("namespace", "make a namespace by clone, with the flag above other bits")
def clone_namespaces():
    for flag in (CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET):
        must_fail(hex(flag), syscall, 56, flag | signal.SIGCHLD, 0, 0, 0, 0)
        must_fail("high bits", syscall, 56, flag | signal.SIGCHLD | 1 << 40, 0, 0, 0, 0)


@attempt("namespace", "make a namespace by clone3, whose flags no filter sees")
def clone3():
    arguments = ctypes.create_string_buffer(struct.pack("QQQQQQQQ", CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0))
    if syscall(435, arguments, 64) == 0:
        os._exit(0)
    raise Escaped("clone3")


@attempt("namespace", "enter the namespaces of pid 1")
def setns():
    for name in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup"):
        must_fail(name, lambda n: syscall(308, os.open("/proc/1/ns/" + n, os.O_RDONLY), 0), name)
        must_fail(name, lambda n: syscall(308, os.open("/proc/self/ns/" + n, os.O_RDONLY), 0), name)


@attempt("namespace", "raise capabilities")
def capabilities():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")) and int(line.split()[1], 16) != 0:
                raise Escaped(line)
    header = struct.pack("Ii", 0x20080522, 0)
    data = struct.pack("IIIIII", *([0xFFFFFFFF] * 6))
    must_fail("capset", syscall, 126, ctypes.create_string_buffer(header), ctypes.create_string_buffer(data))


@attempt("namespace", "become another user")
def set_user():
    for call, number in ((os.setuid, 0), (os.setgid, 0), (os.setuid, 65534), (os.seteuid, 1001)):
        must_fail(f"{call.__name__}({number})", call, number)
    must_fail("setgroups", os.setgroups, [0])


# Other processes ------------------------------------------------------------------------------------------


@attempt("processes", "trace the shim")
def ptrace_shim():
    must_fail("attach", syscall, 101, 16, 1, 0, 0)
    must_fail("seize", syscall, 101, 0x4206, 1, 0, 0)


@attempt("processes", "trace an own child, to change its system calls behind the filter")
def ptrace_child():
    child = os.fork()
    if child == 0:
        try:
            syscall(101, 0, 0, 0, 0)
            os._exit(0)
        except OSError:
            os._exit(1)
    if os.waitpid(child, 0)[1] == 0:
        raise Escaped("traced")


@attempt("processes", "read and write the memory of the shim")
def vm_access():
    buffer = ctypes.create_string_buffer(8)
    vector = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(buffer), 8))
    must_fail("readv", syscall, 310, 1, vector, 1, vector, 1, 0)
    must_fail("writev", syscall, 311, 1, vector, 1, vector, 1, 0)
    must_fail("/proc/1/mem", os.open, "/proc/1/mem", os.O_RDWR)
    must_fail("/proc/1/maps", lambda: open("/proc/1/maps").read())
    must_fail("process_madvise", syscall, 440, 0, vector, 1, 21, 0)


@attempt("processes", "take descriptors out of the shim")
def pidfd_getfd():
    for number in range(3, 10):
        must_fail("pidfd_getfd", lambda n: syscall(438, syscall(434, 1, 0), n, 0), number)
    must_fail("/proc/1/fd", os.listdir, "/proc/1/fd")


@attempt("processes", "kill the shim")
def kill_shim():
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV, signal.SIGCHLD):
        os.kill(1, number)
    time.sleep(0.05)
    with open("/proc/1/stat") as stat:
        state = stat.read().split(")")[1].split()[0]
    if state in "TtZX":
        raise Escaped(f"the shim is in state {state}")
    raise Contained("pid 1 ignores them")


@attempt("processes", "kill the daemon and the neighbour by their pids on the host")
def kill_host_pids():
    for pid in (Target.daemon_pid, Target.neighbour_pid, Target.daemon_pid - 1, Target.daemon_pid + 1):
        if pid > 20:
            must_fail(f"killed {pid}", os.kill, pid, signal.SIGKILL)


@attempt("processes", "kill everything that can be seen")
def kill_everything():
    if os.fork() == 0:
        os.kill(-1, signal.SIGKILL)
    time.sleep(0.2)
    raise Contained("its own processes")


@attempt("processes", "see other processes")
def list_processes():
    pids = [int(n) for n in os.listdir("/proc") if n.isdigit()]
    if len(pids) > 4 or any(pid > 100 for pid in pids):
        raise Escaped(pids)


@attempt("processes", "change the limits of the shim")
def prlimit_shim():
    must_fail("prlimit", resource.prlimit, 1, resource.RLIMIT_NOFILE, (1, 1))
    must_fail("fsize", resource.prlimit, 1, resource.RLIMIT_FSIZE, (0, 0))


@attempt("processes", "compare kernel objects with the shim's")
def kcmp():
    syscall(312, os.getpid(), 1, 0, 0, 0)
    raise Escaped("kcmp")


@attempt("processes", "get real-time priority")
def realtime():
    must_fail("fifo", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(50))
    must_fail("nice", os.setpriority, os.PRIO_PROCESS, 0, -20)


@attempt("processes", "hide from the out-of-memory killer, so that the daemon is taken")
def oom_score():
    with open("/proc/self/oom_score_adj") as score:
        now = int(score.read())
    if now < 100:
        raise Escaped(f"the score is {now}")
    write_to("/proc/self/oom_score_adj", b"-1000")
    raise Escaped("hidden")


# Network --------------------------------------------------------------------------------------------------


def connects(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as client:
        client.settimeout(1)
        client.connect(address)
        raise Escaped(address)


@attempt("network", "connect to a service on the host's loopback")
def host_loopback():
    for address in ("127.0.0.1", "localhost", "0.0.0.0", "127.0.0.53"):
        must_fail(address, connects, socket.AF_INET, (address, Target.host_port))
    must_fail("::1", connects, socket.AF_INET6, ("::1", Target.host_port))


@attempt("network", "connect to the host's address")
def host_address():
    connects(socket.AF_INET, (Target.host_address, Target.host_port))


@attempt("network", "connect to the neighbour's port")
def neighbour_port():
    connects(socket.AF_INET, ("127.0.0.1", 8000))


@attempt("network", "reach the internet")
def internet():
    must_fail("tcp", connects, socket.AF_INET, ("1.1.1.1", 443))
    must_fail("metadata", connects, socket.AF_INET, ("169.254.169.254", 80))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns:
        must_fail("udp", dns.sendto, b"x", ("8.8.8.8", 53))


@attempt("network", "connect to an abstract Unix socket of the host")
def abstract_socket():
    connects(socket.AF_UNIX, "\0" + Target.abstract_socket)


@attempt("network", "connect to a Unix socket of the host by its path")
def path_socket():
    for path in (Target.host_socket, "/run/docker.sock", "/run/dbus/system_bus_socket", "/var/run/docker.sock"):
        must_fail(path, connects, socket.AF_UNIX, path)


@attempt("network", "connect to the socket on which the daemon waits for shims")
def control_socket():
    for path in (Target.control_socket, "/run/gantry/control.sock", "/proc/1/fd/4/control.sock", "control.sock"):
        must_fail(path, connects, socket.AF_UNIX, path, socket.SOCK_SEQPACKET)


def refuse_sockets(*kinds):
    for kind in kinds:
        must_fail(f"socket{kind}", socket.socket, *kind)


@attempt("network", "see and forge packets")
def packet_sockets():
    refuse_sockets((17, socket.SOCK_RAW, 0x300), (17, socket.SOCK_DGRAM, 0x300), (socket.AF_INET, 10, 0x300))


@attempt("network", "open raw IP sockets")
def raw_sockets():
    refuse_sockets(
        (socket.AF_INET, socket.SOCK_RAW, 1), (socket.AF_INET6, socket.SOCK_RAW, 58), (socket.AF_INET, socket.SOCK_RAW, 255)
    )


@attempt("network", "talk to the hypervisor, which no namespace confines")
def vsock():
    refuse_sockets((40, socket.SOCK_STREAM, 0), (40, socket.SOCK_DGRAM, 0), (40, socket.SOCK_SEQPACKET, 0))


@attempt("network", "talk to kernel subsystems over netlink")
def netlink():
    refuse_sockets(*[(16, socket.SOCK_RAW, protocol) for protocol in range(1, 23)])


@attempt("network", "use the kernel's crypto sockets")
def alg_sockets():
    refuse_sockets((38, socket.SOCK_SEQPACKET, 0))


@attempt("network", "load old protocol families on demand")
def other_families():
    refuse_sockets(*[(family, socket.SOCK_DGRAM, 0) for family in range(3, 46) if family not in (10, 16)])
    refuse_sockets(*[(family, socket.SOCK_SEQPACKET, 0) for family in range(3, 46) if family not in (10, 16)])


@attempt("network", "load protocols on demand: SCTP, DCCP, UDP-Lite, L2TP, MPTCP")
def other_protocols():
    kinds = [(socket.SOCK_STREAM, 132), (socket.SOCK_SEQPACKET, 132), (6, 33), (socket.SOCK_DGRAM, 136)]
    kinds += [(socket.SOCK_DGRAM, 115), (socket.SOCK_STREAM, 262), (socket.SOCK_STREAM, 256)]
    refuse_sockets(*[(family, kind, protocol) for family in (2, 10) for kind, protocol in kinds])


@attempt("network", "pass a forbidden family with bits that the kernel ignores")
def family_high_bits():
    for family, kind, protocol in ((40, 1, 0), (17, 3, 0x300), (38, 5, 0), (16, 3, 9)):
        must_fail("high bits", syscall, 41, family | 1 << 32, kind, protocol)
        must_fail("high bits", syscall, 41, family | 1 << 32, kind | 1 << 33, protocol | 1 << 34)


@attempt("network", "make a network interface")
def new_interface():
    request = struct.pack("IHHII", 44, 16, 0x605, 1, 0) + struct.pack("BxHiII", 0, 0, 0, 1, 0xFFFFFFFF)
    request += struct.pack("HH8s", 12, 3, b"escape\0\0")
    with socket.socket(16, socket.SOCK_RAW, 0) as link:
        link.bind((0, 0))
        link.send(request)
        answer = link.recv(4096)
    if struct.unpack_from("i", answer, 16)[0] == 0:
        raise Escaped("an interface")


@attempt("network", "change the interface that is there")
def change_interface():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, 0x8914, struct.pack("16sH14x", b"lo", 0))
    raise Escaped("lo is down")


@attempt("network", "take the port on which the daemon listens inside")
def squat():
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", 7070))
        server.listen()
    raise Escaped("squatted")


# Interfaces of the kernel ---------------------------------------------------------------------------------


@attempt("kernel interface", "read keys of the daemon's session and leave some")
def keyrings():
    must_fail("add_key", syscall, 248, b"user", b"escaped", b"x", 1, -3)
    must_fail("keyctl", syscall, 250, 0, -3, 0)
    must_fail("request_key", syscall, 249, b"user", b"escaped", None, 0)


@attempt("kernel interface", "load a program into the kernel")
def bpf():
    must_fail("map", syscall, 321, 0, ctypes.create_string_buffer(128), 128)
    must_fail("program", syscall, 321, 5, ctypes.create_string_buffer(128), 128)


@attempt("kernel interface", "watch the machine's performance counters")
def perf():
    syscall(298, ctypes.create_string_buffer(struct.pack("II", 1, 120) + b"\0" * 112), 0, -1, -1, 0)
    raise Escaped("perf")


@attempt("kernel interface", "handle page faults, which makes races easy")
def userfaultfd():
    must_fail("userfaultfd", syscall, 323, 0)
    must_fail("user mode only", syscall, 323, 1)


@attempt("kernel interface", "use io_uring, which filters do not see")
def io_uring():
    must_fail("setup", syscall, 425, 8, ctypes.create_string_buffer(120))
    must_fail("enter", syscall, 426, 0, 0, 0, 0, None, 0)
    must_fail("register", syscall, 427, 0, 0, None, 0)


@attempt("kernel interface", "watch files of the whole machine")
def fanotify():
    syscall(300, 0, 0)
    raise Escaped("fanotify")


@attempt("kernel interface", "call the kernel as a 32-bit program (int 0x80)")
def i386_calls():
    # mov eax, 20 (getpid of i386); int 0x80; ret
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    if function() == os.getpid():
        raise Escaped("i386")


@attempt("kernel interface", "call the kernel as an x32 program")
def x32_calls():
    must_fail("getpid", syscall, 39 | 0x40000000)
    must_fail("ptrace", syscall, 521 | 0x40000000, 0, 0, 0, 0)


@attempt("kernel interface", "use numbers that no list knows")
def unknown_calls():
    for number in list(range(451, 470)) + [1000, 0x7FFFFFFF]:
        if number in (452,):
            continue  # fchmodat2, where libseccomp knows it
        must_fail(number, syscall, number, 0, 0, 0, 0)


@attempt("kernel interface", "install a filter that allows everything")
def own_filter():
    # ret ALLOW
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(instruction)))
    syscall(157, 22, 2, program)
    must_fail("unshare behind the own filter", syscall, 272, CLONE_NEWUSER)
    raise Contained("the strictest filter counts")


@attempt("kernel interface", "type into a terminal (TIOCSTI)")
def type_into_terminal():
    child, master = pty.fork()  # the child leads a session and the terminal is its own
    if child == 0:
        try:
            must_fail("TIOCSTI", fcntl.ioctl, 0, 0x5412, b"x")
            must_fail("high bits", syscall, 16, 0, 0x5412 | 1 << 32, ctypes.create_string_buffer(b"x"))
            must_fail("TIOCLINUX", syscall, 16, 0, 0x541C | 1 << 35, ctypes.create_string_buffer(b"\x02"))
        except Escaped:
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        raise Escaped("typed")
    del master


@attempt("kernel interface", "switch address randomisation off")
def personality():
    must_fail("personality", syscall, 135, 0x0040000)
    must_fail("read implies exec", syscall, 135, 0x0400000)


@attempt("kernel interface", "use segments and odd calls of the past")
def old_calls():
    must_fail("modify_ldt", syscall, 154, 1, ctypes.create_string_buffer(16), 16)
    must_fail("uselib", syscall, 134, b"/usr/bin/env")
    must_fail("lookup_dcookie", syscall, 212, 0, None, 0)
    must_fail("vhangup", syscall, 153)
    must_fail("_sysctl", syscall, 156, None)


@attempt("kernel interface", "move pages between the nodes of other processes")
def numa():
    must_fail("move_pages", syscall, 279, 1, 0, None, None, None, 0)
    must_fail("migrate_pages", syscall, 256, 1, 0, None, None)
    must_fail("mbind", syscall, 237, 0, 0, 0, None, 0, 0)


# Using everything up --------------------------------------------------------------------------------------


@attempt("resources", "fork without end")
def fork_bomb():
    deadline = time.time() + 1
    while time.time() < deadline:
        try:
            os.fork()
        except OSError:
            pass


@attempt("resources", "start threads without end")
def thread_bomb():
    def idle():
        time.sleep(2)

    try:
        while True:
            threading.Thread(target=idle, daemon=True).start()
    except RuntimeError:
        raise Contained("no more threads") from None


@attempt("resources", "use all memory")
def memory_bomb():
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


@attempt("resources", "use all memory in many processes")
def memory_bomb_tree():
    for _ in range(8):
        if os.fork() == 0:
            memory_bomb()
    time.sleep(3)


@attempt("resources", "use memory that no process owns: memfd")
def memfd_bomb():
    while True:
        os.write(os.memfd_create("escaped"), b"x" * (1 << 20))


@attempt("resources", "use memory of System V segments")
def shm_bomb():
    while True:
        segment = LIBC.shmget(0, 16 << 20, 0o1600)
        if segment < 0:
            raise Contained(os.strerror(ctypes.get_errno()))
        LIBC.shmat.restype = ctypes.c_void_p
        ctypes.memset(LIBC.shmat(segment, None, 0), 1, 16 << 20)


@attempt("resources", "use memory of pipes")
def pipe_bomb():
    while True:
        for end in os.pipe():
            os.set_blocking(end, False)
        os.write(end, b"x" * (1 << 16))


@attempt("resources", "use memory of sockets in flight")
def socket_bomb():
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.setblocking(False)
    while True:
        pair = socket.socketpair()
        socket.send_fds(left, [b"x"], [pair[0].fileno()] * 200)
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        left.setblocking(False)


def fill(directory):
    number = 0
    while True:
        with open(f"{directory}/{number}", "wb") as file:
            file.write(b"x" * (1 << 20))
        number += 1


@attempt("resources", "fill /tmp")
def fill_tmp():
    fill("/tmp")


@attempt("resources", "fill /dev/shm")
def fill_shm():
    fill("/dev/shm")


@attempt("resources", "fill the disk through the workspace")
def fill_workspace():
    fill("/workspace")


@attempt("resources", "fill the disk with files that have no name any more")
def fill_unlinked():
    kept = []
    while True:
        kept.append(os.open("/workspace/hidden", os.O_RDWR | os.O_CREAT))
        os.unlink("/workspace/hidden")
        os.write(kept[-1], b"x" * (4 << 20))


@attempt("resources", "fill the disk with a file that looks huge")
def sparse_file():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.truncate(os.open("/workspace/sparse", os.O_RDWR | os.O_CREAT), 1 << 42)
    raise Escaped("4 TiB")


@attempt("resources", "use up inodes")
def inode_bomb():
    number = 0
    while True:
        os.close(os.open(f"/workspace/{number}", os.O_CREAT | os.O_WRONLY))
        number += 1


@attempt("resources", "nest directories until the daemon's walk breaks")
def deep_directories():
    for _ in range(2000):
        os.mkdir("/workspace/d") if os.getcwd() == "/app" else os.mkdir("d")
        os.chdir("/workspace/d" if os.getcwd() == "/app" else "d")
    time.sleep(3)
    raise Contained("2000 directories")


@attempt("resources", "use up descriptors")
def descriptor_bomb():
    kept = []
    while True:
        kept.append(open("/dev/null"))


@attempt("resources", "fill the logs")
def log_flood():
    line = b"x" * 1000 + b"\n"
    for _ in range(100_000):
        os.write(1, line)
    raise Contained("100 MB of output")


@attempt("resources", "write lines without end and zeroes into the logs")
def log_nonsense():
    os.write(1, b"\0" * 1_000_000)
    os.write(2, b"\xff\xfe" * 1_000_000)
    os.write(1, b"\n1700000000000 o forged line of another program\n" * 10)
    raise Contained("text")


@attempt("resources", "take all of the CPU")
def cpu_bomb():
    for _ in range(8):
        if os.fork() == 0:
            deadline = time.time() + 2
            while time.time() < deadline:
                pass
            os._exit(0)
    time.sleep(1)
    raise Contained("its share")


@attempt("resources", "dump core without end")
def core_bomb():
    must_fail("core", resource.setrlimit, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@attempt("resources", "raise the own limits")
def raise_limits():
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
        must_fail(kind, resource.setrlimit, kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@attempt("resources", "make timers without end")
def timer_bomb():
    timer = ctypes.create_string_buffer(8)
    while True:
        syscall(222, 1, None, timer)


# Links, names and the daemon's eyes -----------------------------------------------------------------------


@attempt("symlink games", "point the workspace at files of the host")
def symlinks():
    for name, target in (("a", "/etc/shadow"), ("b", Target.secret_path), ("c", "/proc/self/root"), ("d", "..")):
        os.symlink(target, "/workspace/" + name)
    os.symlink(Target.secret_path, "/workspace/link")
    raise Contained("links")


@attempt("symlink games", "put a fifo and a socket where the daemon reads files")
def special_files():
    os.mkfifo("/workspace/link")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("/workspace/socket")
    raise Contained("special files")


@attempt("symlink games", "exchange a directory for a link while the daemon walks")
def race_walk():
    os.mkdir("/workspace/real")
    for n in range(200):
        open(f"/workspace/real/{n}", "w").close()
    deadline = time.time() + 2
    while time.time() < deadline:
        os.rename("/workspace/real", "/workspace/aside")
        os.symlink("/", "/workspace/real")
        os.unlink("/workspace/real")
        os.rename("/workspace/aside", "/workspace/real")
    raise Contained("a race with nothing to win")


@attempt("symlink games", "go through /proc/self/root and magic links")
def magic_links():
    reveal("/proc/self/root/proc/1/root" + Target.secret_path)


@attempt("symlink games", "name files with line feeds and escapes")
def names():
    for name in ("a\nb", "\x1b[2J", "x" * 255, "ü", b"\xff\xfe".decode(errors="surrogateescape")):
        open("/workspace/" + name, "w").close()
    raise Contained("names")


def main():
    if sys.argv[1] == "--list":
        for name, (kind, how, _) in ATTEMPTS.items():
            print(f"{name}\t{kind}\t{how}")
        return
    try:
        ATTEMPTS[sys.argv[1]][2]()
        result = "blocked"
    except Escaped as escape:
        result = f"ESCAPED {escape}"
    except Contained as effect:
        result = f"contained {effect}"
    except OSError as error:
        result = f"blocked {errno.errorcode.get(error.errno, error)}"
    except MemoryError:
        result = "contained MemoryError"
    print(result, flush=True)


if __name__ == "__main__":
    main()
