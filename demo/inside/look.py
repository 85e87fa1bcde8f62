"""What a process in the container can tell about where it is."""

import os
import platform


def read(*paths):
    for path in paths:
        try:
            with open(path) as file:
                return " ".join(file.read().split())
        except OSError:
            pass
    return "not to be seen"


def limit(v2, v1):
    text = read(f"/sys/fs/cgroup/{v2}", *(f"/sys/fs/cgroup/{one}" for one in v1))
    return "none" if text in ("max", "-1") or (text.isdigit() and int(text) > 1 << 60) else text


status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print("Python       ", platform.python_version(), "on Linux", platform.release())
print("host name    ", platform.node())
print("process id   ", os.getpid(), "of", len([name for name in os.listdir("/proc") if name.isdigit()]))
print("user         ", os.getuid(), "which is", read("/proc/self/uid_map").split()[1], "on the host")
print("capabilities ", status["CapEff"].strip())
print("seccomp      ", {"0": "off", "2": "filter"}.get(status["Seccomp"].strip(), status["Seccomp"].strip()))
print("no new privs ", status["NoNewPrivs"].strip())
print("memory limit ", limit("memory.max", ["memory/memory.limit_in_bytes"]))
quota = limit("cpu.max", ["cpu/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_quota_us"])
print("cpu quota    ", quota, "of", limit("cpu.max", ["cpu/cpu.cfs_period_us", "cpu,cpuacct/cpu.cfs_period_us"]))
print("process limit", limit("pids.max", ["pids/pids.max"]))
shm = os.statvfs("/dev/shm")
print("/dev/shm     ", shm.f_blocks * shm.f_frsize // 2**20, "MB")
print("network      ", ", ".join(sorted(os.listdir("/sys/class/net"))) or "none")
for path, mode in (("/proc/sys/kernel/core_pattern", "w"), ("/proc/timer_list", "rb"), ("/sys/kernel/profiling", "w")):
    try:
        with open(path, mode) as file:
            verdict = "EMPTY" if mode == "rb" and not file.read(1) else "OPEN"
    except OSError as error:
        verdict = error.strerror
    print(f"{path:<29}", verdict)
