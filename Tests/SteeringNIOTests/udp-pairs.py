# Asks random addresses and ports by UDP, each from a connected socket, which hears nobody else:
#   udp-pairs.py COUNT PREFIX [SEED]
# Prints how many were answered, with what they had sent, and whom others would have heard.
import ipaddress, os, random, socket, sys, time

patience = int(os.environ.get("PATIENCE", 90))

count, prefix = int(sys.argv[1]), ipaddress.ip_network(sys.argv[2])
random.seed(int(sys.argv[3]) if len(sys.argv) > 3 else 6)
family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
answered, wrong, silent = 0, [], []
for number in range(count):
    address = str(prefix[random.randrange(prefix.num_addresses)])
    port = random.randrange(1, 65536)
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(patience)
        client.connect((address, port))
        payload = f"{number} {address} {port}".encode()
        try:
            client.send(payload)
            got = client.recv(2048)
        except OSError as error:
            silent.append((address, port, str(error)))
            if len(silent) == 20: break
            continue
        if got == payload and client.getpeername()[1] == port:
            answered += 1
        else:
            wrong.append((address, port, got))

# Not connected: hears every source, and compares.
with socket.socket(family, socket.SOCK_DGRAM) as client:
    client.settimeout(patience)
    for number in range(count // 10):
        asked = (str(prefix[random.randrange(prefix.num_addresses)]), random.randrange(1, 65536))
        client.sendto(b"who are you", asked)
        try:
            source = client.recvfrom(2048)[1][:2]
        except OSError as error:
            silent.append((*asked, str(error)))
            continue
        if source != asked:
            wrong.append((asked, source))
print(f"{answered} answered, {len(wrong)} wrong, {len(silent)} silent", *wrong[:5], *silent[:5])
