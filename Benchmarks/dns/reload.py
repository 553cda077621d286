# SPDX-License-Identifier: Apache-2.0
"""Reloads a policy of many names under load: scripts/bench dns --reload, which calls this in namespaces of its own.

  reload.py --load PROGRAM --steer-dns PROGRAM [--names N] [--rate R] [--reloads N]

The pool changes with each reload, between two that lie in one prefix: an answer from neither is wrong. Lost and wrong
must be 0; how long a reload takes is printed, not judged.
"""
import argparse, json, os, re, signal, subprocess, sys, tempfile, time

arguments = argparse.ArgumentParser()
arguments.add_argument("--load", required=True)
arguments.add_argument("--steer-dns", required=True)
for unused in ("--bound", "--allocations"):
    arguments.add_argument(unused, help="not needed")
arguments.add_argument("--names", type=int, default=20_000_000)
arguments.add_argument("--rate", type=int, default=50_000)
arguments.add_argument("--reloads", type=int, default=5)
options = arguments.parse_args()

ZONE = "$ORIGIN example.com.\n$TTL 1h\n@ SOA ns1 hostmaster 1 1h 15m 1w 5m\n@ NS ns1\nns1 A 192.0.2.1\n"
POLICY = """pools:
  web: [{}, 2001:db8::/44]
names:
  zones: [{{origin: example.com, file: example.com.zone}}]
  lists: {{customers: names.txt}}
  policies:
    - {{name: free, list: customers, attribute: account=free, pool: web, ttl: 30}}
    - {{name: paid, list: customers, pool: web, ttl: 60}}
    - {{name: default, outcome: pass}}
"""


def write_policy(folder, number):
    with open(f"{folder}/new", "w") as file:
        file.write(POLICY.format("192.0.2.0/25" if number % 2 else "192.0.2.128/25"))
    os.rename(f"{folder}/new", f"{folder}/policy.yaml")


def reloads(log):
    with open(log) as file:
        return len(re.findall("policy reloaded", file.read()))


def run(folder):
    with open(f"{folder}/example.com.zone", "w") as file:
        file.write(ZONE)
    with open(f"{folder}/names.txt", "w") as file:
        for k in range(options.names):
            file.write(f"n{k}.example.com account={'free' if k % 2 else 'paid'}\n")
    write_policy(folder, 0)
    log = f"{folder}/log"
    command = [options.steer_dns, "serve", "--policy", "policy.yaml", "--listen", "127.0.0.1:5300", "--no-response-limit"]
    with open(log, "w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
    try:
        while "serving 127" not in open(log).read():
            if server.poll() is not None:
                sys.exit(f"bench dns: the server ended: {open(log).read()}")
            time.sleep(0.1)
        load = subprocess.Popen(
            [options.load, "--port", "5300", "--names", str(options.names), "--rate", str(options.rate), "--v4",
             "192.0.2.0/24", "--v6", "2001:db8::/44", "--seconds", "900"], stdout=subprocess.PIPE, text=True)
        began = time.monotonic()
        for number in range(1, options.reloads + 1):
            time.sleep(1)
            if number % 2:
                os.utime(f"{folder}/names.txt")  # a list that is another one is read again; else the policy alone is
            write_policy(folder, number)
            while reloads(log) < number:
                if load.poll() is not None or server.poll() is not None:
                    sys.exit(f"bench dns: ended too early: {open(log).read()}")
                time.sleep(0.1)
        time.sleep(1)
        seconds = time.monotonic() - began
        load.send_signal(signal.SIGINT)
        result = json.loads(load.communicate(timeout=30)[0])
        with open(f"/proc/{server.pid}/status") as status:
            peak = int(re.search(r"VmHWM:\s+(\d+)", status.read())[1]) // 1024
        took = re.findall(r"took=([^ ]+ seconds)", open(log).read())
    finally:
        server.terminate()
        server.wait(30)
    print(f"{options.reloads} reloads of {options.names:,} names in {seconds:.0f} s under {options.rate:,} queries/s: "
          f"{result}; a reload took, with the list and without in turn, {', '.join(took)}; at most {peak} MiB resident")


with tempfile.TemporaryDirectory() as folder:
    run(folder)
