"""A tracer that stops a command at any system call."""
import ctypes
import os
import signal
import struct

from kernel import NUMBERS, libc
from support import Failed

libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_TRACEME, PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_SETOPTIONS, PTRACE_GET_SYSCALL_INFO = 0, 17, 24, 0x4200, 0x420e
TRACE_OPTIONS = 1 | 8 | 0x100000  # TRACESYSGOOD, TRACECLONE, EXITKILL
WALL = 0x40000000


class Ended(Exception):
    """A command ended before the requested stop."""


class Traced:
    """A traced command, which stops before and after each system call."""

    def __init__(self, command, output=os.devnull):
        self.command, self.seen = command, 0
        self.threads = set()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
                libc.ptrace(PTRACE_TRACEME, 0, None, None)
                os.kill(os.getpid(), signal.SIGSTOP)
                os.execv(command[0], command)
            finally:
                os._exit(127)
        os.waitpid(self.pid, 0)
        ptrace(PTRACE_SETOPTIONS, self.pid, TRACE_OPTIONS)
        self.stopped, self.signal = self.pid, 0

    def advance(self):
        """Advances to the next stop before or after a system call."""
        while True:
            ptrace(PTRACE_SYSCALL, self.stopped, self.signal)
            while True:
                self.stopped, status = os.waitpid(-1, WALL)
                if os.WIFSTOPPED(status):
                    break
                if self.stopped == self.pid:
                    raise Ended(status)
            number = os.WSTOPSIG(status)
            if number == signal.SIGTRAP | 0x80:
                self.signal = 0
                self.seen += 1
                return
            self.signal = 0 if number in (signal.SIGTRAP, signal.SIGSTOP) else number

    def advance_to(self, stop):
        while self.seen < stop:
            self.advance()

    def system_call(self):
        """Returns the number of the system call that it is about to make; None after a call."""
        information = ctypes.create_string_buffer(88)
        libc.ptrace(PTRACE_GET_SYSCALL_INFO, self.stopped, 88, information)
        return struct.unpack_from("=Q", information, 24)[0] if information.raw[0] == 1 else None

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        while True:
            try:
                dead, status = os.waitpid(-1, WALL)
            except ChildProcessError:
                return
            if dead == self.pid and not os.WIFSTOPPED(status):
                return

    def let_go(self):
        """Lets it run to its end, and returns its exit code."""
        ptrace(PTRACE_DETACH, self.stopped, self.signal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def count_stops(command):
    """Runs a command to its end; returns its first stop at the BPF file system, and the number of stops."""
    traced, first = Traced(command), None
    while True:
        try:
            traced.advance()
        except Ended as end:
            if os.waitstatus_to_exitcode(end.args[0]) != 0:
                raise Failed(f"{' '.join(command[1:])} fails without being killed") from None
            return first, traced.seen
        if first is None and traced.system_call() == NUMBERS["statfs"]:
            first = traced.seen


def kill_at(command, stop):
    """Runs a command and kills it at its n-th stop. Returns False if it ended before."""
    traced = Traced(command)
    try:
        traced.advance_to(stop)
    except Ended as end:
        code = os.waitstatus_to_exitcode(end.args[0])
        if code != 0:
            raise Failed(f"{' '.join(command[1:])} exited with {code} before it was killed") from None
        return False
    traced.kill()
    return True
