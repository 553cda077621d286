# Who of a group of workers answers, each client from a port of its own:
#   spread.py tcp|udp COUNT PREFIX     a line for each worker: its greeting, and how many it answered
#   spread.py tcp|udp close=N PREFIX   asks until worker N answers, and sends it "close"
import collections, ipaddress, os, socket, sys, time

patience = int(os.environ.get("PATIENCE", 90))

kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[sys.argv[1]]
prefix = ipaddress.ip_network(sys.argv[3])
family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
port = 80


def ask(number, then=lambda client, worker: None):
    with socket.socket(family, kind) as client:
        client.settimeout(patience)
        client.connect((str(prefix[number % 250 + 1]), port))
        if kind == socket.SOCK_DGRAM:
            client.send(b"who?\n")
        worker = client.recv(2048).decode().split(" at")[0].strip()
        then(client, worker)
        return worker


if sys.argv[2].startswith("close="):
    meant = "worker " + sys.argv[2].removeprefix("close=")

    def close(client, worker):
        if worker == meant:
            client.send(b"close\n")

    for number in range(2000):
        if ask(number, close) == meant:
            time.sleep(0.3)
            print("closed", meant)
            break
else:
    answers = collections.Counter()
    for number in range(int(sys.argv[2])):
        try:
            answers[ask(number)] += 1
        except OSError as error:
            answers[f"nobody ({error})"] += 1
    for worker, count in sorted(answers.items()):
        print(f"{worker}: {count}")
