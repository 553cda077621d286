"""A machine made of namespaces: a Debian tree with our units, and systemd as its first process."""
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
PROGRAMS = ("steer", "steerd", "steer-dns", "steerd-run")
libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A check failed."""


class Machine:
    """A machine. Files written in it survive a reboot, but not the machine."""

    def __init__(self, tree, programs, units):
        self.folder = tempfile.mkdtemp(prefix="steering-systemd-")
        run("mount", "-t", "tmpfs", "tmpfs", self.folder)
        for name in ("upper", "work", "root", "cgroup"):
            os.mkdir(f"{self.folder}/{name}")
        self.root = f"{self.folder}/root"
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir={os.path.abspath(tree)},upperdir={self.folder}/upper,workdir={self.folder}/work", self.root)
        run("mount", "-t", "cgroup2", "cgroup2", f"{self.folder}/cgroup")
        self.cgroup = f"{self.folder}/cgroup/{os.path.basename(self.folder)}"
        self.process = None
        self.since = 0
        self.units = units
        self.install(programs, units)

    def install(self, programs, units):
        for program in PROGRAMS:
            place = f"{self.root}/usr/bin/{program}"
            open(place, "w").close()
            run("mount", "--bind", f"{programs}/{program}", place)
        for unit in os.listdir(units):
            if unit.endswith((".service", ".socket")):
                shutil.copy(f"{units}/{unit}", f"{self.root}/etc/systemd/system/{unit}")
            if unit.endswith(".rules"):
                shutil.copy(f"{units}/{unit}", f"{self.root}/etc/udev/rules.d/{unit}")
        for line in ("groupadd --system steer-readers", "useradd --uid 1001 web", "useradd --uid 1002 -G steer-readers reader",
                     # What they set is the whole machine's, and not this one's.
                     "systemctl mask systemd-sysctl.service systemd-modules-load.service systemd-udev-trigger.service",
                     "systemctl disable apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer"):
            subprocess.run(["chroot", self.root, *line.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def boot(self):
        os.mkdir(self.cgroup)
        # It ends with this program, however that ends (PR_SET_PDEATHSIG).
        self.process = subprocess.Popen([f"{HERE}/boot", self.root, self.cgroup], stdin=subprocess.DEVNULL,
                                        preexec_fn=lambda: libc.prctl(1, signal.SIGKILL))
        self.first = eventually("the first process", self.find_first)
        eventually("systemd answers", lambda: self.state() in ("running", "degraded"), timeout=90)
        namespace = os.open(f"/proc/{self.first}/ns/net", os.O_RDONLY)
        # From here on the sockets of this program are the machine's.
        if libc.setns(namespace, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(namespace)
        self.sh("ip link set lo up; sysctl() { echo $2 >/proc/sys/$1; }; sysctl net/ipv6/conf/all/accept_dad 0")

    def find_first(self):
        """Returns the process that unshare created, once it is systemd."""
        if self.process.poll() is not None:
            raise Failed(f"the machine ended with {self.process.returncode}")
        children = read(f"/proc/{self.process.pid}/task/{self.process.pid}/children").split()
        return next((int(child) for child in children if "systemd" in read(f"/proc/{child}/comm")), None)

    def state(self):
        return subprocess.run([*self.entering(), "systemctl", "is-system-running"], capture_output=True,
                              text=True).stdout.strip()

    def entering(self):
        return ["nsenter", "--target", str(self.first), "--all"]

    def end(self):
        """Ends the machine as a power failure would."""
        self.process.kill()
        self.process.wait()

        def removed():
            for folder, _, _ in os.walk(self.cgroup, topdown=False):
                os.rmdir(folder)
            return True
        eventually("its processes have ended", removed, ignoring=OSError)

    def reboot(self):
        self.end()
        self.boot()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.end()
        run("umount", "-R", "-l", self.folder)
        os.rmdir(self.folder)

    # What is done in it.

    def try_sh(self, script, timeout=60):
        return subprocess.run([*self.entering(), "bash", "-c", script], capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)

    def sh(self, script, timeout=60):
        done = self.try_sh(script, timeout)
        if done.returncode:
            raise Failed(f"{script!r}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def refuses(self, script, *words):
        """Runs a command that must fail; returns its output, which must contain all of these words."""
        done = self.try_sh(script)
        said = done.stdout + done.stderr
        if not done.returncode:
            raise Failed(f"{script!r} did not fail: {said}")
        for word in words:
            if word not in said:
                raise Failed(f"{script!r} does not print {word!r}: {said}")
        return said

    def write(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.root + path), exist_ok=True)
        # Through the machine: /run is its own.
        done = subprocess.run([*self.entering(), "bash", "-c", f"mkdir -p {os.path.dirname(path)}; cat >{path}"]
                              if self.process and self.process.poll() is None else ["tee", self.root + path],
                              input=text, text=True, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise Failed(f"cannot write {path}")
        os.chmod(self.root + path, mode) if os.path.exists(self.root + path) else None

    def show(self, unit, what):
        return self.sh(f"systemctl show --property {what} --value {unit}")

    def is_active(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def journal(self, unit, options=""):
        self.sh("journalctl --sync")
        return self.sh(f"journalctl -b -o cat --since @{self.since} -u {unit} {options}")

    @property
    def version(self):
        return int(self.sh("systemctl --version").split()[1])


def eventually(what, condition, timeout=30, ignoring=()):
    """Waits until a condition is true, and returns its value."""
    end = time.monotonic() + timeout
    while True:
        last = None
        try:
            if value := condition():
                return value
        except (ignoring or Failed) as failure:
            last = failure
            if not ignoring and "ended with" in str(failure):
                raise
        if time.monotonic() > end:
            raise Failed(f"waited {timeout} s for: {what}{f' ({last})' if last else ''}")
        time.sleep(0.05)


def run(*words):
    subprocess.run(words, check=True)


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
