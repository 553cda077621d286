# Asks a DNS server, and says what came back: an independent reader of messages (dnspython).
#
#   client.py ADDRESS PORT FILE
#
# The file is a JSON array of requests; each makes a line of JSON. What a request has is in Request.swift.
import collections, json, os, random, resource, select, socket, struct, sys, time
import dns.edns, dns.flags, dns.message, dns.name, dns.opcode, dns.rcode, dns.rdataclass, dns.rdatatype

address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
patience = int(os.environ.get("PATIENCE", 90))
# Options are compared byte for byte; dnspython takes no client subnet without a family.
dns.edns._type_to_class.clear()


def name_bytes(text):
    """The name as it is written: dnspython keeps the case of letters."""
    return dns.name.from_text(text).to_wire()


def query(request):
    """The bytes of a query."""
    if "raw" in request:
        return bytes.fromhex(request["raw"])
    flags = request.get("opcode", 0) << 11 | request.get("flags", 0x0100)
    kind = request.get("type", "A")
    question = name_bytes(request["name"]) + struct.pack(
        "!HH", dns.rdatatype.from_text(kind), dns.rdataclass.from_text(request.get("class", "IN")))
    extra, count = b"", 0
    for edns in [request["edns"]] if request.get("edns") is not None else []:
        options = b"".join(
            struct.pack("!HH", code, len(data) // 2) + bytes.fromhex(data) for code, data in edns.get("options", []))
        bits = edns.get("version", 0) << 16 | edns.get("flags", 0)
        extra += b"\0" + struct.pack("!HHIH", 41, edns.get("payload", 1232), bits, len(options)) + options
        count += 1
    return struct.pack("!HHHHHH", request.get("id", 0x1234), flags, 1, 0, 0, count) + question + extra


def records(sections):
    """Records as lines of text, names as they are written."""
    return sorted(
        f"{rrset.name} {rrset.ttl} {dns.rdataclass.to_text(rrset.rdclass)} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
        for rrset in sections for rdata in rrset)


def reading(wire, asked):
    """What a response says. dnspython refuses one that is malformed or has bytes left over."""
    # It knows six operations, and reads some in its own way.
    message = dns.message.from_wire(wire[:2] + bytes([wire[2] & 0x87]) + wire[3:], one_rr_per_rrset=True)
    header = struct.unpack("!HHHHHH", wire[:12])
    end = 12
    while header[2] and wire[end]:
        end += 1 + wire[end]
    end += 5 if header[2] else 0
    flags = dns.flags.to_text(message.flags & 0x87b0).lower()
    edns = None
    if message.edns >= 0:
        options = [[int(option.otype), option.to_wire().hex()] for option in message.options]
        edns = {"version": message.edns, "payload": message.payload, "flags": message.ednsflags & 0xffff,
                "options": options}
    return {
        "id": header[0] == struct.unpack("!H", asked[:2])[0], "flags": flags, "z": header[1] & 0x40 != 0,
        "opcode": header[1] >> 11 & 15, "code": dns.rcode.to_text(message.rcode()), "questions": header[2],
        "echo": wire[12:end] == asked[12:end] if header[2] else True, "answer": records(message.answer),
        "authority": records(message.authority), "additional": records(message.additional), "edns": edns,
        "size": len(wire), "wire": wire.hex(),
    }


def datagrams(source=None):
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.settimeout(patience)
    if source: client.bind((source, 0))
    client.connect((address, port))
    return client


def stream(source=None):
    return socket.create_connection((address, port), patience, (source, 0) if source else None)


def receive(client):
    """A message from a stream; nothing at its end."""
    def exactly(count):
        data = b""
        while len(data) < count:
            part = client.recv(count - len(data))
            if not part: return None
            data += part
        return data
    length = exactly(2)
    return length and exactly(struct.unpack("!H", length)[0])


def framed(message): return struct.pack("!H", len(message)) + message


def ask(request):
    """By UDP, and by TCP: both answers."""
    asked = query(request)
    with datagrams(request.get("from")) as client:
        client.send(asked)
        reply = reading(client.recv(65535), asked)
    began = time.monotonic()
    with stream(request.get("from")) as client:
        client.sendall(framed(asked))
        answer = receive(client)
        if answer is None: raise OSError(f"closed after {time.monotonic() - began:.3f} s, without an answer")
        reply["tcp"] = reading(answer, asked)
    return reply


def silence(request):
    """How many answers there are to something, before the answer to a query that follows it; and whether TCP closes."""
    asked, probe = query(request), query({"name": request["probe"], "id": 0x4321})
    count = 0
    with datagrams() as client:
        client.send(asked)
        client.send(probe)
        while client.recv(65535)[:2] != b"\x43\x21": count += 1
    with stream() as client:
        client.sendall(framed(asked))
        closed = not receive(client)
    return {"answers": count, "closed": closed}


def pieces(request):
    """What is read from a stream to which pieces are written one by one; then it is closed for writing or not."""
    replies = []
    with stream() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = b"".join(map(bytes.fromhex, request["pieces"]))
        for piece in request["pieces"]:
            client.sendall(bytes.fromhex(piece))
        messages, rest = [], asked
        while len(rest) > 2:
            length = struct.unpack("!H", rest[:2])[0]
            messages.append(rest[2:2 + length])
            rest = rest[2 + length:]
        by_id = {message[:2]: message for message in messages}
        while len(replies) < request["answers"]:
            wire = receive(client)
            if not wire: break
            reply = reading(wire, by_id[wire[:2]])
            reply["number"] = struct.unpack("!H", wire[:2])[0]
            replies.append(reply)
        # For a client that then says nothing more: the server closes.
        if request.get("waits"): replies.append({"closed": receive(client) is None})
    return replies


def half_closed(request):
    """How many answers come to queries after which the client closes its side, when it begins to read later."""
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(patience)
        client.connect((address, port))
        client.sendall(bytes.fromhex("".join(request["pieces"])))
        client.shutdown(socket.SHUT_WR)
        time.sleep(1)
        count = 0
        while count < request["answers"] and receive(client) is not None: count += 1
        return {"answers": count, "closed": receive(client) is None}


def burst(request):
    """How many of many queries, sent at once, are answered whole, cut and not at all."""
    whole = cut = 0
    with datagrams() as client:
        for number in range(request["answers"]):
            client.send(query({**request, "id": number}))
        client.settimeout(1)
        try:
            while True:
                if client.recv(65535)[2] & 2: cut += 1
                else: whole += 1
        except TimeoutError: pass
    return {"whole": whole, "cut": cut, "lost": request["answers"] - whole - cut}


def hold(request):
    """Opens connections one by one, each with an answered query: how many are closed in the end, and how many open."""
    held = []
    for _ in range(request["answers"]):
        held.append(stream(request.get("from")))
        held[-1].sendall(framed(query(request)))
        receive(held[-1])
    closed = 0
    for client in held:
        try:
            client.sendall(framed(query(request)))
            closed += receive(client) is None
        except ConnectionError: closed += 1
    return {"closed": closed, "open": len(held) - closed}


def crowd(request):
    """Connections to another port of the server that say nothing; meanwhile somebody asks as one should, by both."""
    held = [socket.create_connection((address, request["id"]), patience) for _ in range(request["answers"])]
    asked = 0
    for number in range(20): asked += ask({"name": f"host{number}.example.com"})["tcp"]["code"] == "NOERROR"
    with socket.create_connection((address, request["id"]), patience) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        page = b"".join(iter(lambda: client.recv(65536), b""))
    return {"tcp": asked, "page": page.startswith(b"HTTP/1.1 200") or page.startswith(b"HTTP/1.0 200")}


def hoard(request):
    """As many connections as a client gets, each with most of a query that is as long as one may be; nothing is read."""
    held = []
    for _ in range(request["answers"]):
        held.append(stream(request.get("from")))
        held[-1].settimeout(0.2)
        try: held[-1].sendall(b"\x3f\xff" + bytes(16_000))
        except OSError: pass
    time.sleep(0.5)
    return {"held": len(held)}


def flood(request):
    """Sends as many queries as are taken on many connections, and reads nothing."""
    block, sent, held = bytes.fromhex(request["raw"]) * 2000, 0, []
    for _ in range(16):
        client = stream()
        client.settimeout(0.2)
        held.append(client)
        try:
            while sent < 400_000_000: sent += client.send(block)
        except TimeoutError: pass
    return {"sent": sent}


def siege(request):
    """Many connections that are silent, or stop within a message, and come again when they are closed; meanwhile somebody
    asks as one should."""
    count = request["answers"]
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 200, count + 200))
    starts = [b"", b"\0", b"\0\x1d", b"\0\x1d\x12\x34\1\0\0\1", b"\xff\xff" + bytes(100)]
    waiting = select.epoll()
    held = {}

    def open_one():
        client = socket.socket(family, socket.SOCK_STREAM)
        client.setblocking(False)
        client.connect_ex((address, port))
        held[client.fileno()] = client
        waiting.register(client, select.EPOLLOUT | select.EPOLLIN)

    def tend(seconds):
        closed = 0
        for number, events in waiting.poll(seconds, 1000):
            client = held[number]
            try:
                if events & (select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP) and not client.recv(100): raise OSError
                client.send(starts[number % len(starts)])
                waiting.modify(client, select.EPOLLIN)
            except BlockingIOError: pass
            except OSError:
                waiting.unregister(client)
                held.pop(number).close()
                open_one()
                closed += 1
        return closed

    for _ in range(count):
        open_one()
        tend(0)
    closed, udp, tcp = 0, 0, 0
    for number in range(50):
        for _ in range(5): closed += tend(0)
        reply = ask({"name": f"host{number}.example.com", "from": request.get("from")})
        udp += reply["code"] == "NOERROR"
        tcp += reply["tcp"]["code"] == "NOERROR"
    # They are kept from holding all places, sooner or later.
    while not closed: closed += tend(1)
    return {"held": len(held), "closed": closed, "udp": udp, "tcp": tcp}


def noise(request):
    """What is no query, or no longer one: by UDP and by TCP."""
    chance = random.Random(7)
    good = query({"name": "www.example.com", "edns": {"options": [[10, "0123456789abcdef"], [8, "00011800c63364"]]}})
    loop = good[:4] + b"\0\1\0\0\0\0\0\1" + b"\xc0\x0c\0\1\0\1"
    messages = [chance.randbytes(chance.choice([0, 1, 11, 12, 13, 50, 512, 1232, 2047, 2048, 2049, 9000, 65507]))
                for _ in range(300)]
    messages += [good[:end] for end in range(len(good))] + [loop, loop * 100, good * 50]
    for _ in range(1000):
        damaged = bytearray(good)
        for _ in range(chance.randrange(1, 4)): damaged[chance.randrange(2, len(good))] = chance.randrange(256)
        messages.append(bytes(damaged))
    with datagrams() as client:
        for message in messages:
            client.send(message)
            select.select([client], [], [], 0)
    for message in messages[::7] + [bytes(65535), chance.randbytes(65535), good[:12] + b"?" * 65523]:
        with stream() as client:
            # What is longer than any query is not read to its end.
            try:
                client.sendall(framed(message) + framed(good))
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536): pass
            except OSError: pass
    return {"sent": len(messages)}


def steady(request):
    """Asks on and on, some at a time, until a file is there: how often each address was the answer, and how many got none."""
    counts, asked, number = collections.Counter(), {}, 0
    base = query({"name": "www.example.com"})
    with datagrams() as client:
        client.settimeout(5)
        try:
            while not os.path.exists(request["until"]) or asked:
                while len(asked) < 20 and not os.path.exists(request["until"]):
                    number = (number + 1) % 65536
                    client.send(struct.pack("!H", number) + base[2:])
                    asked[number] = True
                answer = client.recv(65535)
                del asked[struct.unpack("!H", answer[:2])[0]]
                counts[f"{answer[3] & 15} " + socket.inet_ntoa(answer[-4:])] += 1
        except (TimeoutError, ConnectionError): pass
    return {"lost": len(asked), "answers": counts}


def draws(request):
    """How often each address is the answer to a query that is asked so often."""
    counts, base, sent, open_queries = collections.Counter(), query(request), 0, 0
    with datagrams() as client:
        while sent < request["answers"] or open_queries:
            while sent < request["answers"] and open_queries < 50:
                client.send(base)
                sent, open_queries = sent + 1, open_queries + 1
            counts[socket.inet_ntoa(client.recv(65535)[-4:])] += 1
            open_queries -= 1
    return counts


def queued(request):
    """Sends queries to a server that is stopped, then lets it go on and end: how many are answered."""
    with datagrams() as client, stream() as other:
        for number in range(request["answers"]): client.send(query({**request, "id": number}))
        os.kill(request["id"], 15)
        os.kill(request["id"], 18)
        seen = set()
        client.settimeout(5)
        try:
            while len(seen) < request["answers"]: seen.add(client.recv(65535)[:2])
        except (TimeoutError, ConnectionError): pass
    return {"answered": len(seen)}



for request in json.load(open(sys.argv[3])):
    function = {"ask": ask, "silence": silence, "pieces": pieces, "halfClosed": half_closed, "burst": burst, "hold": hold, "crowd": crowd, "hoard": hoard,
                "flood": flood, "siege": siege, "noise": noise, "steady": steady, "draws": draws, "queued": queued}[request.pop("do", "ask")]
    try:
        print(json.dumps(function(request)), flush=True)
    except Exception as error:
        print(json.dumps({"failure": f"{request}: {type(error).__name__} {error}"}), flush=True)
