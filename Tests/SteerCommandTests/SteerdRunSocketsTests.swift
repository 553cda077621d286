import KernelTestSupport
import Steering
import Testing

/// The sockets that steerd-run registers, and those that it names because it cannot.
@Suite(.kernel, .serialized)
struct SteerdRunSocketsTests {
    @Test("Two labels have each their sockets of one command, opened by it or passed")
    func twoLabels() async throws {
        try await withServicePlace { place in
            let opens = try place.steerd.bed.write(
                """
                from socket import *
                import time
                web, other = create_server(('127.0.0.1', 0)), create_server(('127.0.0.1', 8081))
                web2 = create_server(('127.0.0.1', 8080))
                dns = socket(type=SOCK_DGRAM); dns.bind(('127.0.0.1', 8053)); time.sleep(600)
                """, to: "opens.py")
            func bound(_ label: Label) throws -> [String] {
                try place.steerd.client.sockets(of: label).map { "\($0.transport) \($0.boundAddress)" }
            }
            let wrapped = try Background(
                place.line("web=:8080 dns=udp", "\(Bed.python) \(opens)", as: ""), in: place.steerd.bed)
            try eventually("both are registered") {
                try bound("web") == ["tcp 127.0.0.1:8080"] && bound("dns") == ["udp 127.0.0.1:8053"]
            }
            try wrapped.signal("TERM")
            _ = try wrapped.exitCode()
            let passed = try Background(
                place.line(
                    "--listen web=tcp:[::]:0 --listen dns=udp:127.0.0.1:8054 --listen dns=udp:[::]:0",
                    "sh -c 'echo $LISTEN_FDNAMES; exec sleep 600'", as: ""), in: place.steerd.bed)
            try eventually("it says what it got") { try passed.output == "web:dns:dns\n" }
            // [::] receives IPv4, too, where that has no socket of its own.
            let destinations = try place.steerd.bed.json("sockets")["sockets"].array.map {
                "\($0["label"].string!) \($0["protocol"].string!) \($0["family"].string ?? "")"
            }
            try verify(destinations.count { $0.hasPrefix("web tcp") }, is: 2, "\(destinations)")
            try verify(destinations.count { $0.hasPrefix("dns udp") }, is: 2, "\(destinations)")
        }
    }

    @Test("A Multipath TCP listener is named, with the remedy, whatever there is beside it")
    func multipath() async throws {
        try await withServicePlace { place in
            let program = try place.steerd.bed.write(
                """
                from socket import *
                import time
                web = socket(AF_INET, SOCK_STREAM, 262); web.bind(('127.0.0.1', 8080)); web.listen()
                h3 = socket(type=SOCK_DGRAM); h3.bind(('127.0.0.1', 8080)); time.sleep(600)
                """, to: "multipath.py")
            for label in ["web", "web=:8080", "web=tcp:127.0.0.1:8080"] {
                let run = try place.steerd.bed.sh(place.line(label, "\(Bed.python) \(program)"))
                try verify(
                    run.exitCode == 1 && run.error.contains("GODEBUG=multipathtcp=0")
                        && run.error.contains("127.0.0.1:8080"), "\(run)")
            }
            try verify(try place.steerd.client.sockets(of: "web"), is: [], "what is registered")
        }
    }

    @Test("What cannot be steered to is named for the family that lacks a socket, by pid and after a reload, too")
    func familyWithoutSocket() async throws {
        try await withServicePlace { place in
            let bed = place.steerd.bed
            // On SIGHUP it opens IPv4 anew, bound to a device.
            let program = try bed.write(
                """
                import signal, sys, time
                from socket import *
                six = socket(AF_INET6); six.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
                four = socket(AF_INET, SOCK_STREAM, int(sys.argv[1]))
                for s in six, four:
                    s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1); s.bind(('::' if s is six else '0.0.0.0', 8080)); s.listen()
                def reload(number, frame):
                    global four
                    four.close(); four = socket(); four.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
                    four.setsockopt(SOL_SOCKET, SO_BINDTODEVICE, b'lo'); four.bind(('0.0.0.0', 8080)); four.listen()
                signal.signal(signal.SIGHUP, reload)
                while True: time.sleep(600)
                """, to: "families.py")
            let lacks = "web has no socket for tcp/IPv4: "
            for number in [262, 0] {
                let plain = try Background("\(SteerdBed.webUser) \(Bed.python) \(program) \(number)", in: bed)
                try bed.listens(":8080", 2)
                let run = try bed.run("register web --pid \(plain.pid) tcp :8080 --all --replace")
                try verify(run.exitCode, is: 0)
                try verify(
                    number == 0 ? run.error.isEmpty : run.error.contains(lacks) && run.error.contains("Multipath TCP"),
                    run.error)
                try plain.signal("KILL")
                _ = try plain.exitCode()

                let wrapped = try place.run("web=:8080", "\(Bed.python) \(program) \(number)")
                if number == 262 {
                    try eventually("it is named") {
                        try wrapped.error.contains(lacks) && wrapped.error.contains("Multipath TCP")
                    }
                }
                try eventually("it is registered") {
                    try place.steerd.client.sockets(of: "web").count == (number == 0 ? 2 : 1)
                }
                try wrapped.signal("HUP")
                try eventually("the device is named") {
                    try wrapped.error.contains("\(lacks)the socket is bound to the device lo")
                }
                try wrapped.signal("TERM")
                _ = try wrapped.exitCode()
            }
        }
    }

    @Test("Sockets that steerd holds and that the command does not get are named, and --fresh releases them")
    func left() async throws {
        try await withServicePlace { place in
            let bed = place.steerd.bed, client = place.steerd.client
            /// Runs a command that ends at once, and returns its output.
            func passed(_ options: String, exitCode: Int32 = 0) throws -> String {
                let run = try bed.sh(place.line(options, "true"))
                try verify(run.exitCode, is: exitCode, "\(options): \(run)")
                return run.error
            }
            func bound() throws -> [String] { try client.sockets(of: "web").map { "\($0.boundAddress)" }.sorted() }
            let four = "--listen tcp:127.0.0.1:8080", both = "\(four) --listen tcp:[::1]:8080"
            try verify(try passed("web \(both)"), is: "")
            try verify(try passed("web \(both)"), is: "")
            var served = try place.run("web \(four)", "sleep 600")
            try eventually("the other is named") {
                try served.error.contains("steerd also holds tcp [::1]:8080 for web, which no --listen names")
            }
            try eventually("it is served") { try shell("cat /proc/\(served.pid)/comm") == "sleep\n" }
            let found = try bed.run("doctor").output
            try verify(found.contains("[queues] clients of web tcp/IPv6 wait on the socket"), found)
            try verify(found.contains("while web tcp/IPv4 is served"), found)
            try served.signal("TERM")
            _ = try served.exitCode()
            // Where no process serves the label, it is being restarted.
            try verify(!bed.run("doctor").output.contains("[queues]"), "a finding while it is restarted")
            let kept = try client.sockets(of: "web").first { $0.boundAddress.address.family == .ipv4 }
            served = try place.run("web --fresh \(four)", "sleep 600")
            try eventually("it is released") { try client.sockets(of: "web") == [kept!] }
            try verify(!bed.run("doctor").output.contains("[queues]"), "a finding when it is released")
            try verify(try served.error, is: "")
            served.end()

            // [::] receives IPv4 or does not, as the other places want it.
            try client.unregister("web")
            let any = "--listen tcp:[::]:8081", split = "\(any) --listen tcp:0.0.0.0:8081"
            try verify(try passed("web \(any)"), is: "")
            let occupied = try passed("web \(split)", exitCode: 1)
            try verify(
                occupied.contains("tcp 0.0.0.0:8081 cannot be bound, because steerd holds tcp [::]:8081 for web"),
                occupied)
            try verify(try passed("web --fresh \(split)"), is: "")
            try verify(try bound(), is: ["0.0.0.0:8081", "[::]:8081"])
            let less = try passed("web \(any)")
            try verify(less.contains("also holds tcp 0.0.0.0:8081") && less.contains("does not receive IPv4"), less)
            try verify(try passed("web --fresh \(any)"), is: "")
            try verify(try bound(), is: ["[::]:8081"])
            try verify(bed.json("sockets")["sockets"].array.count, is: 2, "destinations")

            // Beside sockets that a command opens itself, too.
            let opens = try bed.write(
                "import socket, time; s = socket.create_server(('127.0.0.1', 8082)); time.sleep(600)", to: "opens.py")
            let wrapped = try place.run("web", "\(Bed.python) \(opens)")
            try eventually("it is named") {
                try wrapped.error.contains(
                    "steerd still holds tcp [::]:8081 for web, which \(Bed.python) does not serve")
            }
            try wrapped.signal("TERM")
            _ = try wrapped.exitCode()

            let unbound = try passed("web --listen udp:127.0.0.1:0 \(any)")
            try verify(unbound.contains("no binding of web is for udp/IPv4"), unbound)
        }
    }
}
