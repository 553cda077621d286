"""Tests of the units under systemd: each function is a suite of checks."""
import ipaddress
import json
import os
import random
import re
import signal
import subprocess
import threading
import time

import services
from machine import Failed, eventually

POLICY = "/etc/steer/policy.yaml"
UNITS = "steer steerd steerd.socket steer-metrics"
TEXT = """
labels:
  web: { allow: { users: web } }
bindings:
  - { label: web, protocols: tcp, prefixes: [192.0.2.0/24, "2001:db8:7::/48"], ports: 80 }
"""
# What steerd has started outlives it. When it has ended, and nothing else refers to the unit, its stored sockets go, too.
FORGET = "for p in $(cat /sys/fs/cgroup/system.slice/steerd.service/cgroup.procs 2>/dev/null); do kill -KILL $p; done"
TYPO = "bindings:\n  - { label: web, protocol: tcp }\n"
INSIDE = "192.0.2.9"


def check(holds, what, seen=""):
    if not holds:
        raise Failed(f"{what}{f': {seen}' if seen != '' else ''}")


def begin(m, text=TEXT):
    """Sets up the initial state of a suite: nothing runs, nothing is loaded or stored, and this policy is installed."""
    m.sh("rm -rf /etc/systemd/system/{steer,steerd,steer-dns,steer-metrics}.service.d; systemctl daemon-reload")
    m.sh("systemctl stop 'web*.service' 'late*.service' 2>/dev/null; "
         "systemctl stop steer-dns steer-metrics steerd.socket steerd steer; "
         f"{FORGET}; systemctl reset-failed; steer unload 2>/dev/null; rm -f /etc/steer/policy.yaml; true")
    m.sh("ip route replace local 192.0.2.0/24 dev lo; ip -6 route replace local 2001:db8:7::/48 dev lo")
    m.write(POLICY, text)
    # The second is not over that others have written in.
    time.sleep(1.1 - time.time() % 1)
    m.since = int(time.time())
    for name in ("REGISTERING", "CLAIMING", "LISTING", "ORDINARY", "STARTED"):
        m.write(f"/opt/{name.lower()}.py", getattr(services, name))


def drop_in(m, unit, text):
    m.write(f"/etc/systemd/system/{unit}.service.d/test.conf", text)
    m.sh("systemctl daemon-reload")


def as_web(program, *words):
    return f"setpriv --reuid 1001 --regid 1001 --clear-groups python3 /opt/{program}.py {' '.join(words)}"


def serve(m, word, unit="web"):
    """Starts a service, in a unit of its own, that steers the label web to itself."""
    m.sh(f"systemd-run --quiet --collect --unit {unit} --uid 1001 python3 /opt/registering.py web {word}")
    eventually(f"{word} serves", lambda: services.ask(INSIDE, 80) == word)


def main_pid(m, unit):
    return int(m.show(unit, "MainPID"))


def is_held(m):
    """Checks that the held socket serves: a client that claims it answers the waiting connection."""
    answers = []
    client = threading.Thread(target=lambda: answers.append(services.ask(INSIDE, 80, timeout=20)))
    client.start()
    claiming = m.try_sh(as_web("claiming", "web", "claimed"))
    client.join()
    return answers == ["claimed"] or f"{answers} {claiming.stderr}"


class Traffic:
    """Continuous connections, each of which must be answered with one of these words."""

    def __init__(self, *words):
        self.words, self.failures, self.count, self.ended = words, [], 0, False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended:
            try:
                answer = services.ask(random.choice((INSIDE, "192.0.2.200")), 80)
            except OSError as error:
                answer = str(error)
            self.count += 1
            if answer not in self.words:
                self.failures.append(answer)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join()
        check(not self.failures and self.count > 20, "traffic went on", f"{self.count}, failed: {self.failures[:5]}")


# The units themselves.


def verify(m):
    """Unit files: systemd knows all their directives, and rates their exposure as low."""
    m.sh("mkdir -p /run/verify && cp /etc/systemd/system/steer*.service /etc/systemd/system/steerd.socket /run/verify")
    said = m.try_sh("systemd-analyze verify /run/verify/*").stderr
    unknown = [line for line in said.splitlines() if "steer" in line
               and not (m.version < 254 and "FileDescriptorStorePreserve" in line)]
    check(not unknown, "systemd-analyze verify reports nothing", unknown)
    begin(m)
    m.sh("systemctl start steerd")
    for unit in ("steer", "steerd", "steer-metrics", "steer-dns"):
        told = m.sh(f"systemd-analyze security {unit}.service --no-pager | tail -n 1")
        level = float(re.search(r"([0-9.]+) (OK|MEDIUM|EXPOSED|UNSAFE)", told).group(1))
        print(f"#   exposure of {unit}.service: {level}")
        check(level < 3, f"{unit}.service is not exposed", told)


def boot(m):
    """A boot puts the policy in force, and starts steerd and the metrics; so does the next boot."""
    begin(m)
    m.sh(f"systemctl enable {UNITS}")
    for turn in ("first", "second"):
        m.reboot()
        begin_routes(m)
        for unit in ("steer", "steerd", "steer-metrics"):
            check(m.is_active(unit), f"{unit} is active after the {turn} boot", m.journal(unit))
            check(m.show(unit, "NRestarts") == "0" or unit == "steer-metrics", f"{unit} starts at once", m.journal(unit))
        check(len(json.loads(m.sh("steer bindings --json"))["bindings"]) == 2, "the policy is in force")
        check(m.show("steerd", "StatusText") == f"serving by {POLICY}, 2 bindings", "steerd shows its policy file",
              m.show("steerd", "StatusText"))
        serve(m, "booted")
    m.sh(f"systemctl disable {UNITS}")


def begin_routes(m):
    m.sh("ip route replace local 192.0.2.0/24 dev lo; ip -6 route replace local 2001:db8:7::/48 dev lo")


def sandbox(m):
    """Each unit can load by itself; a sandbox that makes the BPF file system read-only is reported."""
    for unit in ("steer", "steerd"):
        begin(m)
        m.sh(f"systemctl start {unit}")
        check(len(json.loads(m.sh("steer bindings --json"))["bindings"]) == 2, f"{unit} puts the policy in force")
        check(m.sh("stat -c %a /sys/fs/bpf/steering") == "755", "readers get through", m.sh("stat -c %a /sys/fs/bpf/steering"))
        log = m.journal(unit)
        check("priority" not in log, "no complaints about priorities", log)
        # Of the kernel's files the BPF file system alone can be written.
        for place, is_writable in (("/sys/fs/bpf", True), ("/sys/kernel", False), ("/sys/class/net/lo/mtu", False), ("/sys/fs/cgroup", False),
                                   ("/proc/sys/kernel/hostname", False), ("/etc", False)):
            looks = f'import os, sys; sys.exit(os.access("{place}", os.W_OK) != {is_writable})'
            drop_in(m, unit, f"[Service]\nExecStartPre=/usr/bin/python3 -c '{looks}'\n")
            m.sh(f"systemctl restart {unit}")
    begin(m)
    drop_in(m, "steerd", "[Service]\nProtectKernelTunables=yes\n")
    m.sh("systemctl start steerd --no-block")
    eventually("it is logged", lambda: "Read-only file system" in m.journal("steerd"))


def readers(m):
    """Members of the readers' group can read, whichever unit has loaded; metrics are served without capabilities."""
    for unit in ("steer", "steerd"):
        begin(m)
        m.sh(f"systemctl start {unit}; systemctl start steer-metrics")
        m.sh("setpriv --reuid 1002 --regid 1002 --init-groups steer status")
        m.refuses("setpriv --reuid 1001 --regid 1001 --clear-groups steer status")
        text = eventually("the counters", lambda: services.http("127.0.0.1", 9110, "/metrics"), ignoring=OSError)
        check('steering_lookups_total' in text, "the counters are served", text[:300])
        status = m.sh(f"cat /proc/{main_pid(m, 'steer-metrics')}/status")
        check(re.search(r"CapPrm:\t0{16}\n", status), "no capability", status)
        check(int(re.search(r"Uid:\t(\d+)", status).group(1)) > 60000, "a dynamic user", status)
        check("priority" not in m.journal("steer-metrics"), "no complaints about priorities")


# Sockets that are held.


def held(m):
    """A held socket survives its service and restarts of steerd; crashes stop no traffic; the watchdog ends a hung steerd."""
    begin(m)
    m.sh("systemctl start steerd")
    m.sh(as_web("registering", "web", "once"))
    check(is_held(m) is True, "it is held", is_held(m))
    m.sh("systemctl restart steerd")
    check(is_held(m) is True, "it is held after a restart", m.journal("steerd"))
    serve(m, "alive")
    with Traffic("alive"):
        for _ in range(5):
            former = main_pid(m, "steerd")
            os.kill(host_pid(m, former), signal.SIGKILL)
            eventually("steerd is back", lambda: main_pid(m, "steerd") not in (0, former) and m.is_active("steerd"))
        m.sh("systemctl restart steerd")
        m.sh("systemctl reload steerd")
    drop_in(m, "steerd", "[Service]\nWatchdogSec=2\n")
    m.sh("systemctl restart steerd")
    former = main_pid(m, "steerd")
    with Traffic("alive"):
        os.kill(host_pid(m, former), signal.SIGSTOP)
        eventually("steerd is ended, and back", lambda: main_pid(m, "steerd") not in (0, former) and m.is_active("steerd"))
    check("atchdog" in m.journal("steerd"), "it was the watchdog", m.journal("steerd"))
    check(services.ask(INSIDE, 80) == "alive", "traffic after the watchdog")


def host_pid(m, pid):
    """Returns the PID here of a process of the machine."""
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/status") as file:
                numbers = next(line for line in file if line.startswith("NSpid")).split()[1:]
        except OSError:
            continue
        if len(numbers) > 1 and numbers[-1] == str(pid) and same_namespace(process, m.first):
            return int(process)
    raise Failed(f"no process {pid}")


def same_namespace(process, other):
    try:
        return os.readlink(f"/proc/{process}/ns/pid") == os.readlink(f"/proc/{other}/ns/pid")
    except OSError:
        return False


def stopped(m):
    """steerd is stopped and started: the loaded steering stays, and from systemd 254 on, held sockets, too."""
    begin(m)
    # systemd forgets what it has stored for a unit that nothing refers to.
    m.sh("systemctl enable steerd.socket steerd; systemctl start steerd")
    try:
        serve(m, "alive")
        with Traffic("alive"):
            m.sh("systemctl stop steerd.socket steerd; systemctl start steerd")
        m.sh("systemctl stop web")
        if m.version >= 254:
            m.sh(as_web("registering", "web", "once"))
            m.sh("systemctl stop steerd.socket steerd; systemctl start steerd")
            check(is_held(m) is True, "it is held after a stop and a start", m.journal("steerd"))
    finally:
        m.sh("systemctl disable steerd.socket steerd")


def typo(m):
    """An invalid policy file: steerd keeps serving after a restart and a reload, and loads the file once it is fixed."""
    begin(m)
    m.sh("systemctl start steerd")
    m.sh(as_web("registering", "web", "once"))
    m.write(POLICY, TYPO)
    m.refuses("systemctl reload steerd")
    check(m.is_active("steerd") and is_held(m) is True, "it is held after a reload that fails", m.journal("steerd"))
    for turn in range(7):
        m.sh("systemctl restart steerd")
    check(m.is_active("steerd"), "it serves after restarts with a typo", m.journal("steerd"))
    told = m.show("steerd", "StatusText")
    check(f"{POLICY} is invalid" in told and "policy.yaml:2:" in told, "it reports that", told)
    check("policy file is invalid" in m.journal("steerd", "--priority err"), "it is logged as an error")
    check(is_held(m) is True, "it is held, and the allowed user may still use it", m.journal("steerd"))
    m.sh("systemctl is-active steerd.socket")
    m.sh(f"rm {POLICY}; systemctl restart steerd")
    check(is_held(m) is True, "it is held where there is no file", m.journal("steerd"))
    m.write(POLICY, TEXT.replace("ports: 80", "ports: [80, 81]"))
    m.sh("systemctl reload steerd")
    check(m.show("steerd", "StatusText") == f"serving by {POLICY}, 2 bindings", "the fixed policy is loaded", m.show("steerd", "StatusText"))
    check(is_held(m) is True, "it is held after that")
    check(services.ask(INSIDE, 82) == "refused" and "81" in m.sh("steer bindings"), "the fixed policy is in force")


def typo_at_boot(m):
    """If nothing is in force yet, steerd waits for a valid policy file, and never gives up."""
    begin(m, TYPO)
    m.sh("systemctl start steerd.socket; systemctl start --no-block steerd")
    eventually("it has tried often", lambda: int(m.show("steerd", "NRestarts")) > 5)
    m.write(POLICY, TEXT)
    eventually("it serves", lambda: m.is_active("steerd"))
    m.sh("systemctl is-active steerd.socket")
    serve(m, "late")


def reload(m):
    """When `systemctl reload steerd` returns, the file is in force: bindings, and permissions for labels."""
    begin(m)
    m.sh("systemctl start steerd")
    process = host_pid(m, main_pid(m, "steerd"))
    os.kill(process, signal.SIGSTOP)
    reloading = subprocess.Popen([*m.entering(), "systemctl", "reload", "steerd"])
    time.sleep(1)
    returned = reloading.poll()
    os.kill(process, signal.SIGCONT)
    check(returned is None and reloading.wait(20) == 0, "it waits for steerd", returned)
    for turn in range(4):
        allowed = turn % 2 == 1
        m.write(POLICY, TEXT.replace("users: web", f"users: {'web' if allowed else 'root'}").replace(
            "ports: 80", f"ports: {80 + turn}"))
        m.sh("systemctl reload steerd")
        answer = m.try_sh(as_web("listing", "web"))
        check((answer.returncode == 0) == allowed, f"turn {turn}: permissions are in force at once", answer.stdout)
        check(f" {80 + turn} " in m.sh("steer bindings | grep web"), "the bindings are in force")
    m.sh("systemctl start steer")
    m.write(POLICY, TEXT.replace("users: web", "users: root"))
    m.sh("systemctl reload steer")
    eventually("a reload of steer reaches steerd", lambda: m.try_sh(as_web("listing", "web")).returncode)


# Beside each other.


def beside(m):
    """steer.service beside steerd: restarting or stopping it loses no socket; a manual unload is noticed."""
    begin(m)
    m.sh("systemctl start steer steerd")
    serve(m, "alive")
    with Traffic("alive"):
        m.sh("systemctl restart steer; systemctl stop steer; systemctl start steer; systemctl reload steer")
        eventually("the reload reaches steerd", lambda: "policy reloaded" in m.journal("steerd"))
    m.sh("steer unload")
    eventually("steerd notices", lambda: "unloaded" in m.show("steerd", "StatusText"))
    check("nothing is steered" in m.journal("steerd", "--priority err"), "and logs it as an error")
    check(services.ask(INSIDE, 80) == "refused", "nothing is steered")
    m.sh("systemctl reload steerd")
    check(services.ask(INSIDE, 80) == "alive", "a reload loads it, and registers what is held", m.journal("steerd"))
    check("unloaded" not in m.show("steerd", "StatusText"), "the status shows it", m.show("steerd", "StatusText"))
    m.sh(f"steer unload; steer apply --load {POLICY}")
    eventually("a steering loaded by another process is used", lambda: services.ask(INSIDE, 80) == "alive")
    m.sh("steer unload; systemctl restart steerd")
    check(services.ask(INSIDE, 80) == "alive", "a restart does so, too", m.journal("steerd"))


def registering(m):
    """Services without support for steerd are registered by their units, as documented."""
    begin(m)
    m.sh("systemctl start steer")
    for kind, delay in (("simple", 2), ("exec", 0)):
        m.write("/etc/systemd/system/late.service", f"""[Service]
Type={kind}
User=web
ExecStart=/usr/bin/python3 /opt/ordinary.py {delay} 8080
ExecStartPost=+/usr/bin/steer register web --pid $MAINPID --wait 10
""")
        m.sh("systemctl daemon-reload; systemctl start late")
        check(services.ask(INSIDE, 80) == "ordinary", f"Type={kind} is steered to", m.journal("late"))
        m.sh("systemctl stop late")


def on_demand(m):
    """A service is started when a connection waits: as its user, with its environment; it outlives steerd, and runs once."""
    start = "start: { command: [/usr/bin/python3, /opt/started.py], user: web }"
    begin(m, TEXT.replace("web: {", f"web: {{ {start},"))
    with open(f"{m.units}/steerd-start.conf") as file:
        drop_in(m, "steerd", file.read())
    m.sh("systemctl start steerd")
    m.sh(as_web("registering", "web", "once"))
    pid, user, folder, mask, home, name, login, *names = services.ask(INSIDE, 80, timeout=20).split()
    check((user, folder, mask, home, name, login) == ("1001", "/", "0o22", "/home/web", "web", "web"), "as its user",
          (user, folder, mask, home, name, login))
    check(set(names) <= {"HOME", "JOURNAL_STREAM", "LANG", "LOGNAME", "PATH", "SHELL", "USER", "TZ", "LC_CTYPE"},
          "no variables of steerd's environment", names)
    m.sh("systemctl restart steerd")
    check(services.ask(INSIDE, 80, timeout=20).split()[0] == pid, "the same process serves after a restart")
    killed = host_pid(m, pid)
    os.kill(killed, signal.SIGKILL)
    # Until it has ended it may still take a connection.
    eventually("it has ended", lambda: not os.path.exists(f"/proc/{killed}"))
    check(services.ask(INSIDE, 80, timeout=20).split()[0] != pid, "another one serves when it has ended")
    # Who could change the file could run what they like.
    for harm, mend in (("chmod o+w FILE", "chmod o-w FILE"), ("chown web FILE", "chown root FILE"),
                       ("chmod g+w /etc/steer", "chmod g-w /etc/steer"),
                       ("mv FILE /srv/policy.yaml; chmod 666 /srv/policy.yaml; ln -s /srv/policy.yaml FILE",
                        "mv -f /srv/policy.yaml FILE; chmod 644 FILE")):
        m.sh(harm.replace("FILE", POLICY))
        m.refuses("systemctl reload steerd")
        told = m.journal("steerd", "| tail -n 6")
        check("others could change it" in told, f"{harm}: the reason is reported", told)
        m.sh(mend.replace("FILE", POLICY))
        m.sh("systemctl reload steerd")
    m.sh(f"systemctl stop steerd.socket steerd; {FORGET}; chmod o+w {POLICY}; systemctl start --no-block steerd")
    eventually("it does not start with a file that others can write",
               lambda: "exit-code" in m.journal("steerd", "| tail -n 4") and f"everybody may write {POLICY}" in m.journal("steerd"))
    m.sh(f"chmod o-w {POLICY}")
    eventually("mended, it starts", lambda: m.is_active("steerd"))


def on_demand_unit(m):
    """A waiting connection starts a unit, which claims the socket, without the drop-in."""
    begin(m, TEXT.replace("web: {", "web: { start: /usr/bin/systemctl start --no-block webunit.service,"))
    m.write("/etc/systemd/system/webunit.service",
            "[Service]\nUser=web\nExecStart=/usr/bin/python3 /opt/claiming.py web claimed\n")
    m.sh("systemctl daemon-reload; systemctl start steerd")
    m.sh(as_web("registering", "web", "once"))
    check(services.ask(INSIDE, 80, timeout=20) == "claimed", "it is started, and serves", m.journal("steerd"))


# What comes late.

NAMES = """
pools: { web: [198.51.96.0/20, "2001:db8:53::/48"] }
names:
  zones: [example.zone]
  policies: [{ name: default, pool: web, ttl: 5 }]
bindings:
  - { label: dns, protocols: tcp+udp, pool: web, ports: 53 }
"""
ZONE = "$ORIGIN example.com.\n@ 300 SOA ns.example.com. admin.example.com. 1 3600 600 86400 60\n@ 300 NS ns\nns 300 A 192.0.2.53\n"


def begin_dns(m, listen):
    begin(m, NAMES)
    m.write("/etc/steer/example.zone", ZONE)
    m.sh("ip route replace local 198.51.96.0/20 dev lo; ip -6 route replace local 2001:db8:53::/48 dev lo")
    drop_in(m, "steer-dns", f"""[Service]
ExecStart=
ExecStart=/usr/bin/steer-dns serve --policy {POLICY} {listen} --metrics 127.0.0.1:9153
""")


def dns(m):
    """steer-dns in its unit, steered to on a whole /20 and a /48, over both protocols; its reload, and its end."""
    begin_dns(m, "--listen 127.0.0.1:53 --listen [::1]:53")
    registered = "".join(f"ExecStartPost=+/usr/bin/steer register dns --pid $MAINPID {transport} {address}:53\n"
                         for transport in ("udp", "tcp") for address in ("127.0.0.1", "[::1]"))
    m.write("/etc/systemd/system/steer-dns.service.d/steered.conf", f"[Service]\n{registered}")
    m.sh("systemctl daemon-reload; systemctl start steer; systemctl start steer-dns")
    pools = {"A": ipaddress.ip_network("198.51.96.0/20"), "AAAA": ipaddress.ip_network("2001:db8:53::/48")}
    for turn in range(25):
        for network in pools.values():
            address = str(network[random.randrange(network.num_addresses)])
            for transport in ("udp", "tcp"):
                for kind, pool in pools.items():
                    found, sender = services.dns(address, "www.example.com", kind, transport)
                    check(len(found) == 1 and ipaddress.ip_address(found[0]) in pool and sender == address,
                          f"{kind} of {address} by {transport}", (found, sender))
    status = m.sh(f"cat /proc/{main_pid(m, 'steer-dns')}/status")
    check(int(re.search(r"Uid:\t(\d+)", status).group(1)) > 60000, "a dynamic user", status)
    log = m.journal("steer-dns")
    check("priority" not in log and "as root" not in log, "no complaints in the log", log)
    m.write(POLICY, NAMES.replace("ttl: 5", "ttl: 5, wrong: 1"))
    m.sh("systemctl reload steer-dns")
    eventually("the errors are logged as errors", lambda: "old one stays" in m.journal("steer-dns", "--priority err"))
    services.dns("198.51.96.7", "www.example.com", "A", "udp")
    m.write(POLICY, NAMES)
    if m.version >= 253:
        m.write("/etc/systemd/system/steer-dns.service.d/reload.conf", "[Service]\nType=notify-reload\nExecReload=\n")
        m.sh("systemctl daemon-reload; systemctl restart steer-dns")
        m.write(POLICY, NAMES.replace("[198.51.96.0/20,", "[198.51.96.0/32,"))
        m.sh("systemctl reload steer-dns")
        check(services.dns("198.51.96.7", "www.example.com", "A", "udp")[0] == ["198.51.96.0"], "reload waits")
    alone = m.try_sh(f"timeout 5 steer-dns serve --policy {POLICY} --listen 127.0.0.1:5399")
    check("running as root" in alone.stderr, "running as root is reported", alone.stderr)


def late_address(m):
    """steer-dns before its addresses exist: it starts, reports that, and answers as soon as they do."""
    begin_dns(m, "--listen 203.0.113.53:53 --listen [2001:db8:53::53]:53")
    m.sh("ip -6 route del local 2001:db8:53::/48 dev lo; systemctl start steer-dns")
    check(m.is_active("steer-dns") and m.show("steer-dns", "NRestarts") == "0", "it runs", m.journal("steer-dns"))
    check("203.0.113.53 is not an address of this machine" in m.journal("steer-dns", "--priority warning"), "and reports that",
          m.journal("steer-dns"))
    m.sh("ip address add 203.0.113.53/32 dev lo; ip address add 2001:db8:53::53/128 dev lo nodad")
    for address in ("203.0.113.53", "2001:db8:53::53"):
        for transport in ("udp", "tcp"):
            found, sender = services.dns(address, "www.example.com", "A", transport)
            check(len(found) == 1 and sender == address, f"{address} by {transport}", (found, sender))
    m.sh("ip address del 203.0.113.53/32 dev lo; ip address del 2001:db8:53::53/128 dev lo")


def late_interface(m):
    """A binding on an interface that does not exist yet: the others are in force, and it is once the interface appears."""
    text = TEXT + "  - { outcome: refuse, protocols: tcp, prefixes: 192.0.2.0/24, ports: 80, on: late0 }\n"
    for unit in ("steer", "steerd"):
        begin(m, text)
        m.sh(f"systemctl start systemd-udevd; systemctl start {unit}")
        check(m.is_active(unit), f"{unit} starts without the interface", m.journal(unit))
        check("late0" in m.journal(unit), "and reports that it is missing", m.journal(unit))
        m.write("/etc/systemd/system/late.service", "[Service]\nUser=web\nExecStart=/usr/bin/python3 /opt/ordinary.py 0 8080\n")
        m.sh("systemctl daemon-reload; systemctl start late")
        eventually("it is steered to", lambda: m.try_sh(
            "steer register web --pid $(systemctl show --property MainPID --value late)").returncode == 0)
        check(services.ask(INSIDE, 80) == "ordinary", "the other bindings are in force")
        m.sh("ip netns add outside; ip link add late0 type veth peer name out0 netns outside; ip address add 10.9.8.1/24 dev late0;"
             "ip link set late0 up; ip -n outside address add 10.9.8.2/24 dev out0; ip -n outside link set out0 up;"
             "ip -n outside route add 192.0.2.0/24 via 10.9.8.1")
        try:
            eventually("the binding on it is in force", lambda: "decides" in m.sh(
                "steer explain tcp 192.0.2.9 80 --from 10.9.8.2 --on late0") and "refuse" in m.sh(
                "steer explain tcp 192.0.2.9 80 --from 10.9.8.2 --on late0").splitlines()[0])
            client = ("import socket; c = socket.socket(); c.settimeout(5); "
                      "print(c.connect_ex(('192.0.2.9', 80)))")
            told = m.sh(f"ip netns exec outside python3 -c \"{client}\"")
            check(told == "111", "packets over it are refused", told)
            check(services.ask(INSIDE, 80) == "ordinary", "other packets are steered")
        finally:
            m.sh("ip netns del outside; ip link del late0 2>/dev/null; systemctl stop late; true")


def priorities(m):
    """The journal has the priorities of messages."""
    begin(m)
    m.sh("systemctl start steerd")
    m.sh(as_web("registering", "web", "once"))
    check("registered" not in m.journal("steerd", "--priority warning"), "an information is not a warning",
          m.journal("steerd", "--priority warning"))
    check("registered" in m.journal("steerd", "--priority info"), "it is logged")
    check("<6>" not in m.journal("steerd"), "priorities are not in the text")
    m.try_sh("setpriv --reuid 1002 --regid 1002 --clear-groups python3 /opt/listing.py web")
    check("refused" in m.journal("steerd", "--priority warning"), "a refused client is logged as a warning")
    m.write(POLICY, TYPO)
    m.refuses("systemctl restart steer")
    check("steer: " in m.journal("steer", "--priority err"), "errors of the command are logged as errors", m.journal("steer"))


ALL = (verify, boot, sandbox, readers, held, stopped, typo, typo_at_boot, reload, beside, registering, on_demand, on_demand_unit, dns,
       late_address, late_interface, priorities)
