# HTTP servers, asked by wrk at a steered address and where they are bound, in turns: scripts/bench http.
#   http.py NAME=COMMAND... [--rounds N] [--seconds N]     a command that serves 192.0.2.0/24, such as "a/b 192.0.2.0/24"
# Needs a network namespace of its own. Prints the medians, and the median of the ratios of neighbouring runs.
import argparse, re, shlex, socket, statistics, subprocess, sys, time

arguments = argparse.ArgumentParser()
arguments.add_argument("servers", nargs="+", metavar="NAME=COMMAND")
arguments.add_argument("--rounds", type=int, default=10)
arguments.add_argument("--seconds", type=int, default=3)
options = arguments.parse_args()


def shell(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def requests(url, *extra):
    """Requests a second; any error ends the measure."""
    command = ["wrk", "-t", "1", "-c", "16", "-d", str(options.seconds), *extra, url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answers = int(re.search(r"(\d+) requests in", output)[1])
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    connect, read, write, timeout = map(int, errors.groups()) if errors else (0, 0, 0, 0)
    # Hummingbird closes when it is asked to, but does not say "close": the end of each such connection, after its answer,
    # is a read error to wrk. One without an answer makes more of them than answers.
    if connect or write or timeout or read > (answers if extra else 0) or "Non-2xx" in output:
        sys.exit(f"http: {' '.join(command)} met errors:\n{output}")
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", output)[1])


def wait_for(address, server):
    for _ in range(200):
        if server.poll() is not None:
            sys.exit(f"http: the server ended with status {server.returncode}")
        try:
            return socket.create_connection(address, timeout=5).close()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"http: nothing listens at {address}")


def measure(name, command):
    server = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(("192.0.2.7", 80), server)
        direct = re.search(r"127\.0\.0\.1:(\d+)", shell("ss -Hltn"))[0]
        urls = {"direct": f"http://{direct}/", "steered": "http://192.0.2.7/"}
        for case, extra in {"keep-alive": [], "a connection a request": ["-H", "Connection: close"]}.items():
            runs = {way: [] for way in urls}
            for round in range(options.rounds):
                for way in sorted(urls, reverse=round % 2 == 1):
                    runs[way].append(requests(urls[way], *extra))
            ratios = [steered / direct for steered, direct in zip(runs["steered"], runs["direct"])]
            medians = ", ".join(f"{way} {statistics.median(runs[way]):,.0f}" for way in urls)
            print(f"{name}, {case}: requests/s {medians}; steered/direct {statistics.median(ratios):.3f} "
                  f"({min(ratios):.3f} to {max(ratios):.3f}), {options.rounds} rounds", flush=True)
    finally:
        server.kill()
        server.wait()


shell("ip link set lo up; ip route add local 192.0.2.0/24 dev lo; sysctl -qw net.ipv4.ip_local_port_range='1024 65535'")
for server in options.servers:
    measure(*server.split("=", 1))
