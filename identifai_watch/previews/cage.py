"""Shut this process in before it touches a stranger's bytes: it may compute, read what it was given, and answer.

No file can be opened, no socket made, no program or thread started, nobody signalled (seccomp(2), an allowlist);
memory, processor time and descriptors are bounded (setrlimit(2)); it ends with the thread that started it (prctl(2)).
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from contextlib import suppress

MEMORY = 1 << 30
"""Bytes of addresses. The libraries take 140 MB, a picture of 128 million pixels with a palette 640 MB."""

LIFE_SECONDS = 600
"""Of processor, for all files of one process together."""

_DESCRIPTORS = 16

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_CALLS = {
    # name: numbers of x86_64 and aarch64, None where there is no such call
    "read": (0, 63),
    "readv": (19, 65),
    "pread64": (17, 67),
    "lseek": (8, 62),
    "fadvise64": (221, 223),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "close": (3, 57),
    "dup": (32, 23),
    "mmap": (9, 222),
    "mremap": (25, 216),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "madvise": (28, 233),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "setitimer": (38, 103),
    "futex": (202, 98),
    "membarrier": (324, 283),
    "rseq": (334, 293),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "poll": (7, None),
    "ppoll": (271, 73),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sysinfo": (99, 179),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
"""What a decoder needs of the system; all else is answered with EPERM."""


def end_with(parent: int) -> None:
    """Have the system end this process when the thread that started it ends; at once if ``parent`` is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def confine() -> bool:
    """Bound this process and take away what it does not need, for good; tell whether system calls are filtered.

    The filter is known for x86_64 and aarch64; elsewhere, and where the kernel refuses it, the bounds alone hold.
    """
    with suppress(OSError):
        os.nice(10)
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, LIFE_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    system = ctypes.CDLL(None)
    if system.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    column = list(_AUDIT_ARCH).index(platform.machine()) if platform.machine() in _AUDIT_ARCH else None
    if column is None or sys.maxsize <= 2**32:
        return False
    program = _filter(_AUDIT_ARCH[platform.machine()], [numbers[column] for numbers in _CALLS.values()])
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are.
    head = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(instructions)))
    return bool(system.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, head, 0, 0) == 0)


def _filter(architecture: int, calls: list[int | None]) -> bytes:
    """Return a BPF program over ``struct seccomp_data`` that allows ``calls``; each instruction has 8 bytes."""
    load, equal, answer = 0x20, 0x15, 0x06
    allow, refuse, end = (
        0x7FFF0000,
        0x00050001,
        0x80000000,
    )  # SECCOMP_RET_ALLOW, _ERRNO | EPERM, _KILL_PROCESS
    known = [number for number in calls if number is not None]
    steps = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, end), (load, 0, 0, 0)]
    # Each comparison jumps over those behind it, and over the refusal.
    steps += [(equal, len(known) - at, 0, number) for at, number in enumerate(known)]
    steps += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
