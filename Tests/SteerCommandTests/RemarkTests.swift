import KernelTestSupport
import Testing

/// What `apply`, `bind` and `register` say about what they do all the same.
@Suite(.kernel)
struct RemarkTests {
    private static let policy = """
        bindings:
          - { label: web, protocols: tcp, prefixes: 192.0.2.0/24, ports: 80 }
          - { label: web, protocols: tcp, prefixes: 192.0.2.0/24, ports: 81, on: late0 }
        """

    @Test("An interface that is not there: apply and --dry-run say so alike, --strict refuses, and later it is found")
    func absentInterface() async throws {
        try await withBed { bed in
            let file = try bed.write(Self.policy, to: "policy.yaml")
            for options in ["--strict", "--dry-run --strict"] {
                try bed.refused("apply \(file) \(options)", "no interface late0")
            }
            for options in ["--dry-run", ""] {
                let run = try bed.run("apply \(file) \(options)")
                try verify(run.exitCode, is: 0)
                try verify(
                    run.error,
                    is:
                        "steer: warning: there is no interface late0: its bindings match nothing until it exists and the policy is applied again\n"
                )
            }
            // What is urgent elsewhere can be done.
            try bed.steer("bind --refuse tcp 192.0.2.66/32 all")
            try bed.steer("unbind --refuse tcp 192.0.2.66/32 all")

            let neighbour = try Neighbour("late0", number: 1)
            let server = try bed.server("here", port: 8080)
            try bed.steer("register web --pid \(server.pid)")
            func ask() throws -> String {
                try neighbour.shell("timeout 10 socat -u TCP4:192.0.2.7:81 - 2>&1 || true")
            }
            try verify(try ask().contains("refused"), "an answer before it is applied again")
            try verify(bed.steer("apply \(file) --strict"), is: "unchanged: 2 bindings in force\n")
            try verify(ask(), is: "here\n")
        }
    }

    @Test("Groups, broadcast addresses and port 0 are said where they are bound")
    func bound() async throws {
        try await withBed { bed in
            try shell("ip link add d0 type veth peer name e0; ip link set d0 up; ip link set e0 up")
            try shell("ip addr add 198.51.100.1/24 brd + dev d0")
            for (prefix, words) in [
                ("224.0.0.0/4", "multicast"), ("ff02::1/128", "multicast"), ("255.255.255.255/32", "broadcast"),
                ("198.51.100.255/32", "broadcast"), ("127.255.255.255/32", "broadcast"),
            ] {
                let run = try bed.run("bind --refuse udp \(prefix) 53")
                try verify(run.exitCode == 0 && run.error.hasPrefix("steer: warning: "), "\(run)")
                try verify(run.error.contains(words), run.error)
            }
            let zero = try bed.run("bind --refuse tcp 192.0.2.0/24 0")
            try verify(
                zero.exitCode == 0 && zero.error.hasPrefix("steer: note: ") && zero.error.contains("`all`"), "\(zero)")
            for line in ["::ffff:192.0.2.0/120 81", "2001:db8::/64 82 --from ::ffff:192.0.2.0/120"] {
                try bed.refused("bind --refuse tcp \(line)", "matches no packets: write 192.0.2.0/24")
            }
            let mapped = bed.policy("web").replacing("192.0.2.0/24", with: "'::ffff:192.0.2.0/120'")
            try bed.refused("apply \(bed.write(mapped, to: "mapped.yaml"))", "write 192.0.2.0/24")
            // Those that have them among others mean others.
            try bed.steer("bind --refuse tcp ::/0 83")
            try bed.steer("bind --refuse tcp 0.0.0.0/0 81")
            try bed.steer("bind --refuse tcp 198.51.100.0/24 81")
            let doctor = try bed.run("doctor")
            try verify(doctor.output.split(separator: "\n").filter { $0.contains("[addresses]") }.count, is: 5)
        }
    }

    @Test("A UDP server that cannot answer from where it is asked is said; one that can is not")
    func answers() async throws {
        try await withBed { bed in
            try bed.steer("bind dns udp 192.0.2.0/24 53,5353")
            let program = """
                import sys, time
                from socket import *
                s = socket(AF_INET, SOCK_DGRAM); s.bind(('127.0.0.1', int(sys.argv[1])))
                if len(sys.argv) > 2: s.setsockopt(IPPROTO_IP, int(sys.argv[2]), 1)
                time.sleep(600)
                """
            let file = try bed.write(program, to: "udp.py")
            func registered(_ arguments: String, _ port: Int) throws -> String {
                let server = try Background("\(Bed.python) \(file) \(port) \(arguments)", in: bed)
                try bed.listens(":\(port)")
                let run = try bed.run("register dns --pid \(server.pid) --replace")
                try verify(run.exitCode, is: 0)
                // The doctor says the same, looking at the running process.
                let notes = try bed.run("doctor").output.split(separator: "\n").filter { $0.contains("[answers]") }
                try verify(notes.count, is: run.error.split(separator: "\n").count, "\(notes) and \(run.error)")
                return run.error
            }
            let plain = try registered("", 5353)
            try verify(plain.contains("it answers from 127.0.0.1, where it is bound"), plain)
            try verify(plain.contains("is bound to port 5353, and answers datagrams to"), plain)
            // From that address no answer is expected; from that port some are.
            let severities = plain.split(separator: "\n").map { $0.split(separator: " ")[1] }
            try verify(severities, is: ["warning:", "note:"])
            // IP_PKTINFO tells the address, IP_RECVORIGDSTADDR the port, too.
            let address = try registered("8", 5354)
            try verify(!address.contains("where it is bound") && address.contains("port 5354"), address)
            try verify(address.hasPrefix("steer: warning: ") && bed.run("doctor").exitCode == 1, address)
            try verify(registered("20", 5355), is: "")
        }
    }

    @Test("Connections that wait on a socket which only steerd holds, while others of its group are served, are named")
    func queues() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let program = """
                import sys, time
                from socket import *
                s = socket(); s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1); s.bind(('127.0.0.1', 8080)); s.listen()
                time.sleep(600)
                """
            let file = try bed.write(program, to: "member.py")
            try shell("ln -s \(Bed.python) \(bed.folder)/steerd-run; sysctl -q -w net.ipv4.tcp_migrate_req=1")
            let kept = try Background("\(bed.folder)/steerd-run \(file)", in: bed)
            try bed.listens(":8080")
            try bed.steer("register web --pid \(kept.pid)")
            let client = try bed.python(
                "from socket import *; import time\ns = create_connection(('192.0.2.9', 80)); time.sleep(600)")
            try eventually("a connection") { try shell("ss -Htn state established").contains("192.0.2.9:80") }
            try verify(bed.steer("doctor"), is: "all is well\n")
            let served = try Background("\(Bed.python) \(file)", in: bed)
            try bed.listens(":8080", 2)
            try bed.steer("register web --pid \(served.pid)")
            let found = try bed.run("doctor")
            try verify(found.exitCode == 1 && found.output.hasPrefix("warning [queues] a connection waits"), "\(found)")
            try verify(found.output.contains("only steerd-run (pid \(kept.pid)) holds"), found.output)
            _ = (client, served)
        }
    }

    @Test("A socket that was bound to a device after it was registered is named, by explain, too")
    func devices() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let server = try bed.python(
                """
                import signal, time
                from socket import *
                s = create_server(('127.0.0.1', 8080))
                signal.signal(signal.SIGHUP, lambda *_: s.setsockopt(SOL_SOCKET, SO_BINDTODEVICE, b'lo'))
                while True: time.sleep(600)
                """)
            try bed.listens(":8080")
            try bed.steer("register web --pid \(server.pid)")
            try verify(bed.steer("doctor"), is: "all is well\n")
            try server.signal("HUP")
            try eventually("it is found") {
                let found = try bed.run("doctor").output
                return found.hasPrefix("warning [devices] ") && found.contains("bound to the device lo")
            }
            let explained = try bed.run("explain tcp 192.0.2.9 80").output
            try verify(explained.contains("bound to a device"), explained)
        }
    }

    @Test("Of a group that is larger than its room, what is left out is told, and is no finding")
    func largeGroup() async throws {
        try await withBed { bed in
            try bed.steer("bind web tcp 192.0.2.0/24 80")
            let server = try bed.python(
                """
                import time
                from socket import *
                group = [create_server(('127.0.0.1', 8080), reuse_port=True) for number in range(20)]
                time.sleep(600)
                """)
            try bed.listens(":8080", 20)
            let follower = try Background(bed.line("register web --pid \(server.pid) --follow"), in: bed)
            // Its standby socket has the last slot by then.
            try eventually("it is told") { try follower.error.contains("15 of the 20 sockets at tcp 127.0.0.1:8080") }
            let found = try bed.run("doctor").output
            try verify(!found.contains("[groups]"), found)
        }
    }

    @Test("A namespace is meant by its name, its path or a process, whichever is given")
    func namespaces() async throws {
        try await withBed(loaded: false) { bed in
            let neighbour = try Neighbour("in0", number: 1)
            let name = neighbour.path.split(separator: "/").last!
            let process = try Background(neighbour.line("sleep 600"), in: bed)
            try eventually("the process is there") {
                try shell("stat -Lc %i /proc/\(process.pid)/ns/net") == shell("stat -Lc %i \(neighbour.path)")
            }
            try bed.steer("load --netns \(name)")
            for text in ["\(name)", neighbour.path, "\(process.pid)", "/proc/\(process.pid)/ns/net"] {
                try verify(bed.steer("doctor --netns \(text)"), is: "all is well\n")
            }
            try bed.refused("doctor --netns nosuch", "`ip netns` lists")
            try bed.steer("unload --netns \(name)")
        }
    }
}
