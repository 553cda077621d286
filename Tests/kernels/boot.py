"""Boots Debian's kernels in qemu, without KVM, and runs suite.py on each; see scripts/kernels for its usage.

Kernels are Debian packages, fetched by a separate apt with Debian's keys. The initramfs is built here, from this machine's
python3, busybox and ip, and from steer and steerd. The guest prints a line per check, and its measurements as a line of JSON.
"""
import argparse
import datetime
import fcntl
import functools
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = "/usr/bin/python3"
MODULES = ["inet_diag", "tcp_diag", "udp_diag", "veth"]
SUITES = {"5.10": ["bullseye", "bullseye-security"], "6.1": ["bookworm", "bookworm-security"],
          "6.12": ["trixie", "trixie-security"], "newest": ["trixie-backports"]}
EVERY_RELEASE = ["5.10", "6.1", "6.12", "newest"]
SECONDS = 900  # What hangs ends then, on a busy machine, too.


class Failed(Exception):
    """An error, described in one sentence."""


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, text=True, capture_output=True, **options).stdout


def tell(line):
    print(line, flush=True)


class Archive:
    """A separate apt, which does not change the machine's lists and sources."""

    def __init__(self, folder, versions):
        self.folder = folder
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        suites = sorted({suite for version in versions for suite in SUITES.get(version, sum(SUITES.values(), []))})
        mirror = os.environ.get("STEERING_DEBIAN_MIRROR", "http://deb.debian.org")
        (folder / "sources.list").write_text("".join(
            f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
            f"{mirror}/debian{'-security' if suite.endswith('-security') else ''} {suite} main\n" for suite in suites))
        (folder / "apt.conf").write_text(f"""
            Dir::Etc::main "/dev/null"; Dir::Etc::parts "/dev/null"; Dir::Etc::sourceparts "/dev/null";
            Dir::Etc::sourcelist "{folder}/sources.list"; Dir::State::lists "{folder}/lists";
            Dir::State::status "/dev/null"; Dir::Cache "{folder}/cache"; APT::Architecture "amd64";
            APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "3";
        """)
        # Apt does not wait for another's lock.
        self.lock = open(folder / "lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.environment = {**os.environ, "APT_CONFIG": f"{folder}/apt.conf"}
        # A suite that is gone is no matter where its kernel was not asked for; what is missing shows below.
        self.complaint = subprocess.run(["apt-get", "update", "-qq"], env=self.environment, text=True,
                                        capture_output=True).stderr.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lock.close()

    def package(self, version):
        """Returns the newest kernel package of a version."""
        pattern = r"\d[\w.]*" if version == "newest" else re.escape(version) + r"\.[\w.]+"
        names = run("apt-cache", "--names-only", "search", "^linux-image-[0-9]", env=self.environment)
        found = [name for name in re.findall(r"^linux-image-\S+", names, re.M)
                 if re.fullmatch(rf"linux-image-{pattern}([+-]\w[\w.]*)?-cloud-amd64", name)
                 and (version == "newest" or "deb11" not in name or version == "5.10")]
        found = [name for name in found if re.search(r"\d+\.\d+\.\d+", name)]
        if not found:
            raise Failed(f"no reachable Debian suite has a kernel {version}: {self.complaint.splitlines()[0]}"
                         if self.complaint else f"Debian has no kernel {version}: name one of {', '.join(SUITES)}")
        shown = run("apt-cache", "show", "--no-all-versions", *found, env=self.environment)
        versions = dict(re.findall(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)", shown, re.M))
        def later(one, other):
            return 1 if subprocess.run(
                ["dpkg", "--compare-versions", versions[one], "gt", versions[other]]).returncode == 0 else -1
        return max(versions, key=functools.cmp_to_key(later))

    def unpacked(self, package):
        """Returns the folder with the package's files, and those of separate packages for its image and modules."""
        folder = self.folder / package
        if (folder / "complete").exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        parts = re.findall(r"Depends: (linux-(?:binary|modules)-\S+)", run(
            "apt-cache", "depends", package, env=self.environment))
        with tempfile.TemporaryDirectory(dir=self.folder) as downloads:
            try:
                run("apt-get", "download", "-qq", package, *parts, env=self.environment, cwd=downloads)
            except subprocess.CalledProcessError as error:
                raise Failed(f"cannot fetch {package}: {(error.stderr.strip().splitlines() or ['?'])[-1]}") from None
            for file in pathlib.Path(downloads).glob("*.deb"):
                run("dpkg-deb", "-x", file, folder)
        (folder / "complete").touch()
        return folder


def cpio(folder):
    """Returns a folder as an archive for the kernel."""
    names = "\0".join(sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))) + "\0"
    return subprocess.run(["cpio", "--null", "--create", "--format=newc", "--quiet", "--owner=0:0"], cwd=folder,
                          input=names.encode(), stdout=subprocess.PIPE, check=True).stdout


class Files:
    """A root file system: files, with the libraries that they need."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, source, path=None, strip=False):
        source = os.path.realpath(source)
        place = self.folder / (path or source).lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if strip:
            run("strip", "-o", place, source)
        else:
            shutil.copy(source, place)
        listed = subprocess.run(["ldd", source], text=True, capture_output=True).stdout
        for library in re.findall(r"(?:=> )?(/\S+) \(0x", listed):
            if not (self.folder / library.lstrip("/")).exists():
                self.add(library, library)

    def add_python(self):
        self.add(PYTHON, PYTHON)
        library = pathlib.Path(run(PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))").strip())
        left_out = shutil.ignore_patterns(
            "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "pydoc_data", "distutils", "dist-packages",
            "config-*", "asyncio", "unittest", "xml", "email", "sqlite3", "curses", "dbm", "wsgiref", "multiprocessing")
        shutil.copytree(library, self.folder / str(library).lstrip("/"), ignore=left_out)
        for name in ("_json", "_ctypes"):
            for file in library.glob(f"lib-dynload/{name}.*"):
                self.add(file, str(file))


def initramfs(folder, steer, steerd):
    files = Files(folder)
    for path in ("proc", "sys", "dev", "run", "tmp", "etc", "root"):
        (folder / path).mkdir()
    files.add(shutil.which("busybox"), "/bin/busybox")
    files.add(shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin"), "/bin/ip")
    files.add(steer, "/usr/bin/steer", strip=True)
    files.add(steerd, "/usr/bin/steerd", strip=True)
    files.add_python()
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (folder / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\nreaders:x:100:\n")
    (folder / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\n")
    shutil.copy(HERE / "suite.py", folder / "suite.py")
    (folder / "init").write_text("""#!/bin/busybox sh
        /bin/busybox mkdir -p /sbin /usr/sbin
        /bin/busybox --install -s /bin
        export PATH=/bin:/usr/bin HOME=/root
        mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
        mount -t bpf -o mode=0711 bpf /sys/fs/bpf; mount -t tmpfs run /run
        for module in $(cat /modules/order); do insmod /modules/$module.ko; done
        /usr/bin/python3 -B /suite.py
        poweroff -f
    """)
    (folder / "init").chmod(0o755)
    return cpio(folder)


class Kernel:
    def __init__(self, folder, package):
        [self.image] = [*folder.glob("boot/vmlinuz-*"), *folder.glob("usr/lib/modules/*/vmlinuz")]
        self.modules, self.package = {}, package
        for file in folder.rglob("*.ko*"):
            self.modules[file.name.split(".ko")[0].replace("-", "_")] = file

    def archive(self):
        """Returns an archive of the modules that the suite needs, with their loading order."""
        with tempfile.TemporaryDirectory() as made:
            folder = pathlib.Path(made)
            (folder / "modules").mkdir()
            (folder / "modules/order").write_text("\n".join(name for name in MODULES if name in self.modules) + "\n")
            for name in MODULES:
                if name in self.modules:
                    data = self.modules[name].read_bytes()
                    if self.modules[name].suffix == ".xz":
                        data = lzma.decompress(data)
                    (folder / f"modules/{name}.ko").write_bytes(data)
            return cpio(folder)

    def boot(self, base, report, prefix, only):
        """Runs the suite; returns (number of checks passed, checks failed, measurements, seconds)."""
        begun, good, bad, measured = time.monotonic(), 0, [], None
        with tempfile.NamedTemporaryFile() as initrd:
            initrd.write(base + self.archive())
            initrd.flush()
            guest = subprocess.Popen(
                ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024",
                 "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none",
                 "-kernel", str(self.image), "-initrd", initrd.name,
                 "-append", "console=ttyS0 quiet loglevel=3 panic=-1 rdinit=/init"
                 + (f" steering.only={only.replace(' ', '_')}" if only else "")],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            late = threading.Timer(SECONDS, guest.kill)
            late.start()
            rest, ended = [], False
            for raw in guest.stdout:
                line = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1bc", "", raw.decode(errors="replace")).strip()
                if line.startswith("# measured "):
                    measured = json.loads(line[len("# measured "):])
                elif line == "# end":
                    ended = True
                elif line.startswith("ok "):
                    good += 1
                    tell(f"{prefix}{line}")
                elif line.startswith("not ok "):
                    bad.append(line[len("not ok "):])
                    tell(f"{prefix}{line}")
                else:
                    rest.append(line)
                    if report:
                        tell(f"{prefix}{line}")
            guest.wait()
            late.cancel()
        if not ended:
            bad.append(f"the guest did not come to the end of the suite within {SECONDS} s: {' | '.join(rest[-8:])}")
            tell(f"{prefix}not ok {bad[-1]}")
        return good, bad, measured, time.monotonic() - begun


def table(results):
    lines = ["| Linux | as root | as the units: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON | without CAP_PERFMON | what it lacks |",
             "|---|---|---|---|---|"]
    for result in results:
        def cell(name):
            found = result["loads"][name]
            if not found["loaded"]:
                return "refused, and told so"
            verified = f"{found['verified']:,} instructions verified, " if found["verified"] else ""
            return f"{verified}{found['bytes']:,} bytes of code"
        lines.append(f"| {result['release']} | {cell('root')} | {cell('units')} | {cell('without')} | "
                     f"{'; '.join(result['lacks']) or 'nothing'} |")
    return lines


def write_table(results, lines):
    page = ROOT / "docs/kernels.md"
    text = page.read_text()
    begin, end = "<!-- the run -->\n", "<!-- end of the run -->"
    date = datetime.date.today().isoformat()
    told = [f"`scripts/kernels`, {date}: " + "; ".join(
        f"Linux {result['release']}, {result['good']} checks in {result['seconds']:.0f} s" for result in results)
        + ". All held.", "", *lines]
    page.write_text(text[:text.index(begin) + len(begin)] + "\n" + "\n".join(told) + "\n\n" + text[text.index(end):])


def main():
    parser = argparse.ArgumentParser(prog="scripts/kernels")
    parser.add_argument("versions", nargs="*", default=EVERY_RELEASE, metavar="VERSION")
    parser.add_argument("--table", action="store_true", help="write the table in docs/kernels.md")
    parser.add_argument("--verbose", action="store_true", help="print all other output of the guest")
    parser.add_argument("--only", metavar="REGEX", help="run only checks whose name matches")
    parser.add_argument("--programs", metavar="DIRECTORY", type=pathlib.Path, default=ROOT / ".build/release",
                        help="where steer and steerd are")
    options = parser.parse_args()

    cache = ROOT / ".build/kernels"
    failures, results, kernels = [], [], {}
    tell(f"fetching kernels: {', '.join(options.versions)}")
    with Archive(cache, options.versions) as archive:
        for version in options.versions:
            try:
                package = archive.package(version)
                kernels[version] = Kernel(archive.unpacked(package), package)
            except Failed as error:
                failures.append(version)
                tell(f"not ok {version}: {error}")
    with tempfile.TemporaryDirectory() as folder:
        base = initramfs(pathlib.Path(folder), options.programs / "steer", options.programs / "steerd")
    tell(f"initramfs: {len(base) >> 20} MiB")
    for version, kernel in kernels.items():
        tell(f"booting {kernel.package}")
        good, bad, measured, seconds = kernel.boot(base, options.verbose, f"{version}: ", options.only)
        tell(f"{version}: {good} checks passed, {len(bad)} failed, {seconds:.0f} s")
        if bad:
            failures.append(version)
        elif measured:
            results.append({**measured, "good": good, "seconds": seconds})
    results.sort(key=lambda result: [int(part) for part in re.findall(r"\d+", result["release"])[:3]])
    for line in table(results):
        tell(line)
    if failures:
        sys.exit(f"kernels: {', '.join(failures)} failed")
    if options.table and not options.only:
        write_table(results, table(results))


main()
