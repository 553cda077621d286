import Foundation
import KernelTestSupport
import Steering
import Testing

/// steerd: registering, holding, replacing, claiming.
@Suite(.kernel)
struct SteerdTests {
    private static let inside = try! SocketAddress("192.0.2.9:80")
    private static let loopback = try! SocketAddress("127.0.0.1:0")

    /// Connects to a steered address, which whoever has the listener accepts.
    private static func reaches(_ listener: borrowing OwnedDescriptor, _ address: SocketAddress = inside) throws -> Bool
    {
        guard try Traffic.connect(.tcp, to: address) != nil else { return false }
        return Traffic.accept(on: listener.rawValue) != nil
    }

    @Test("A socket that is handed over is steered to, outlives its service, and is claimed with what waits in it")
    func holding() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            try verify(try Traffic.connect(.tcp, to: Self.inside) == nil, "not refused without a socket")
            let client = steerd.client
            try verifyThrows(.socketNotFound) { _ = try client.claim("web") }
            try verifyThrows(.socketNotRegistered) { try client.unregister("web") }
            var cookie: SocketCookie?
            do {
                let listener = try OwnedDescriptor.listener(on: Self.loopback)
                let held = try client.register([listener.rawValue, listener.rawValue], as: "web")
                try verify(held.map(\.isRegistered), is: [true], "the sockets")
                try verify(held[0].boundAddress, is: try listener.localAddress())
                cookie = held[0].cookie
                try verify(Self.reaches(listener), "the service is not reached")
                // A second time is no error.
                try verify(try client.register([listener.rawValue], as: "web"), is: held)
            }
            // The service has ended: its listener is closed. Who comes now waits.
            guard let waiting = try Traffic.connect(.tcp, to: Self.inside) else {
                throw Unmet(description: "refused while nobody serves")
            }
            try Traffic.send([1, 2, 3], on: waiting.rawValue)
            try verify(try client.sockets(of: "web").map(\.cookie), is: [cookie])
            let claimed = try client.claim("web")
            try verify(claimed.map(\.held.cookie), is: [cookie])
            let successor = try claimed[0].duplicate()
            guard let connection = Traffic.accept(on: successor.rawValue),
                case .answered([1, 2, 3], _) = Traffic.receive(on: connection)
            else { throw Unmet(description: "what waited is not there") }
            try verify(Self.reaches(successor), "the successor is not reached")
            let status = try client.status()
            try verify(status.map(\.label), is: ["dns", "web"])
            try verify(status.map(\.sockets), is: [0, 1])
            try verify(status[1].metrics.lookups >= 4 && status[1].metrics.misses == 1, "\(status[1].metrics)")
            try client.unregister("web")
            try verify(try Traffic.connect(.tcp, to: Self.inside) == nil, "not refused when unregistered")
            try verify(try client.sockets(of: "web"), is: [])
            try verify(process.output, is: "")
        }
    }

    @Test("A new socket takes the place of the former, which is closed then; what was claimed is served to its end")
    func replacing() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            let client = steerd.client
            let before = try steerd.descriptors(of: process)
            try client.register(try OwnedDescriptor.listener(on: Self.loopback), as: "web")
            guard let waiting = try Traffic.connect(.tcp, to: Self.inside) else { throw Unmet(description: "refused") }
            let own = try OwnedDescriptor.listener(on: Self.loopback)
            try verifyThrows(.destinationOccupied) { try client.register(own, as: "web") }
            let claimed = try client.claim("web")
            defer { withExtendedLifetime(claimed) {} }
            try client.register(own, as: "web", replacing: true)
            try verify(Self.reaches(own), "the new one is not reached")
            try verify(try client.sockets(of: "web").map(\.boundAddress), is: [try own.localAddress()])
            try Traffic.send([1], on: waiting.rawValue)
            guard let connection = Traffic.accept(on: claimed[0].rawValue),
                case .answered([1], _) = Traffic.receive(on: connection)
            else { throw Unmet(description: "what waited is lost") }
            // One attendant's connection and process, and one socket.
            try eventually("the former is closed") { try steerd.descriptors(of: process) == before + 3 }
            // UDP beside it is another destination; a dual-stack socket gives up one family at a time.
            let dual = try OwnedDescriptor.listener(on: SocketAddress("[::]:0"), .dualStack)
            try client.register(dual, as: "web", replacing: true)
            try verify(try client.sockets(of: "web").count, is: 1)
            try client.register(own, as: "web", replacing: true)
            try verify(try client.sockets(of: "web").map(\.isRegistered), is: [true, true])
            try verify(Self.reaches(own), "IPv4 is not reached")
            try verify(Self.reaches(dual, SocketAddress("[2001:db8::7]:80")), "IPv6 is not reached")
            try client.register(try OwnedDescriptor.listener(on: SocketAddress("[::1]:0")), as: "web", replacing: true)
            try verify(try client.sockets(of: "web").count, is: 2)
        }
    }

    @Test("Members of a SO_REUSEPORT group join, and leave one by one")
    func group() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            defer { withExtendedLifetime(process) {} }
            let client = steerd.client
            let one = try OwnedDescriptor.listener(on: Self.loopback, .reusePort)
            try client.register(one, as: "web")
            let two = try OwnedDescriptor.listener(on: try one.localAddress(), .reusePort)
            try client.register(two, as: "web")
            // More than are remembered.
            let more = try (0..<20).map { _ in
                try OwnedDescriptor.listener(on: try one.localAddress(), .reusePort).release()
            }
            defer { for descriptor in more { close(descriptor) } }
            try client.register(more, as: "web")
            let held = try client.sockets(of: "web")
            try verify(held.count == 22 && held.allSatisfy(\.isRegistered), "\(held)")
            try client.unregister("web", [two.rawValue])
            try verify(try client.sockets(of: "web").count, is: 21)
            try verifyThrows(.socketNotRegistered) { try client.unregister("web", [two.rawValue]) }
            try client.register(try OwnedDescriptor.listener(on: Self.loopback), as: "web", replacing: true)
            try verify(try client.sockets(of: "web").count, is: 1)
        }
    }

    @Test("What cannot be steered to is refused by its code, and the former socket stays")
    func kinds() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            let foreign = try inAnotherNetworkNamespace { try OwnedDescriptor.listener(on: Self.loopback).release() }
            defer { close(foreign) }
            let client = steerd.client
            let own = try OwnedDescriptor.listener(on: Self.loopback)
            try client.register(own, as: "web")
            let before = try steerd.descriptors(of: process)
            let good = try OwnedDescriptor.listener(on: Self.loopback)
            for replacing in [false, true] {
                try verifyThrows(.foreignNetworkNamespace) {
                    try client.register(
                        replacing ? [good.rawValue, foreign] : [foreign], as: "web", replacing: replacing)
                }
            }
            try verifyThrows(.unknownLabel) { try client.register(good, as: "nowhere") }
            let refusals: [(sockets: String, code: String)] = [
                ("os.open('/dev/null', 0)", "notASocket"), ("connected()", "unixSocket"),
                ("socket()", "socketNotListening"), ("socket(type=SOCK_DGRAM)", "socketNotBound"),
                ("tcp(), create_connection(tcp().getsockname()) if 0 else os.open('/dev/null', 0)", "notASocket"),
                ("socket(AF_INET, SOCK_STREAM, 262)", "multipathTCP"), ("socket(AF_INET, SOCK_DGRAM, 136)", "udpLite"),
                ("socket(AF_NETLINK, SOCK_RAW, 0)", "unsupportedProtocol"),
            ]
            for refusal in refusals {
                let answer = try steerd.ask(
                    [("steering/1 register web replacing", refusal.sockets)], as: SteerdBed.webUser)
                try verify(answer[0].hasPrefix("error \(refusal.code) "), "\(refusal): \(answer)")
            }
            try verify(Self.reaches(own), "the former socket is not reached")
            try verify(try client.sockets(of: "web").map(\.boundAddress), is: [try own.localAddress()])
            try eventually("nothing stays open") { try steerd.descriptors(of: process) == before }
        }
    }

    @Test("A listener that was shut down is no longer held")
    func shutDown() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            defer { withExtendedLifetime(process) {} }
            let own = try OwnedDescriptor.listener(on: Self.loopback)
            try steerd.client.register(own, as: "web")
            try verify(shutdown(own.rawValue, Int32(SHUT_RDWR)), is: 0)
            try verifyThrows(.socketNotFound) { _ = try steerd.client.claim("web") }
            try steerd.client.register(try OwnedDescriptor.listener(on: Self.loopback), as: "web")
        }
    }

    @Test("udpgrm's message, with as many sockets as the kernel takes, is answered OK")
    func tubular() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            defer { withExtendedLifetime(process) {} }
            let answers = try steerd.ask(
                [
                    ("dns#", "udp()"), ("dns#", "*[udp() for i in range(253)]"), ("steering/1 list dns", ""),
                    ("web#", "tcp()"),
                    ("dns#", ""), ("dns#", "socket(type=SOCK_DGRAM)"),
                ], as: SteerdBed.dnsUser)
            try verify(answers[0], is: "OK")
            // The first takes the place, the others are of no group with it.
            try verify(answers[1].hasPrefix("error destinationOccupied"), answers[1])
            try verify(
                answers[2].hasPrefix("ok\nudp 127.0.0.1:") && answers[2].split(separator: "\n").count == 2, answers[2])
            try verify(answers[3].hasPrefix("error notAllowed"), answers[3])
            try verify(answers[4].hasPrefix("error invalidMessage"), answers[4])
            try verify(answers[5].hasPrefix("error socketNotBound"), answers[5])
            let group = try steerd.ask(
                [
                    (
                        "dns#",
                        "*[(lambda s: (s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1), s.bind(('127.0.0.1', 5353)), s)[2])(socket(type=SOCK_DGRAM)) for i in range(253)]"
                    ), ("steering/1 claim dns", ""), ("dns#", "udp()"), ("steering/1 claim dns", ""),
                ], as: SteerdBed.dnsUser)
            try verify(group[0], is: "OK")
            try verify(group[1].hasSuffix(" +253"), "claimed: \(group[1].suffix(60))")
            try verify(group[2], is: "OK")
            try verify(group[3].hasSuffix(" +1"), group[3])
        }
    }

    @Test("What is loaded is told, and to whom it may concern what the bindings of a label are for")
    func loaded() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            defer { withExtendedLifetime(process) {} }
            let answers = try steerd.ask(
                [("steering/1 loaded", ""), ("steering/1 loaded web", ""), ("steering/1 loaded dns", "")],
                as: SteerdBed.webUser)
            let number = answers[0].dropFirst("ok\n".count)
            try verify(UInt32(number) != nil, "\(answers)")
            try verify(answers[1], is: "ok\n\(number)\ntcp IPv4\ntcp IPv6")
            try verify(answers[2].hasPrefix("error notAllowed"), answers[2])
            try steerd.bed.steer("unload")
            try verifyThrows(.notLoaded) { _ = try steerd.client.attachment() }
        }
    }

    @Test("Its counters are told: of labels, to who may use them; by steer metrics, too, which says when it is gone")
    func metrics() async throws {
        try await withSteerdBed { steerd in
            let process = try steerd.start()
            try steerd.client.register(try OwnedDescriptor.listener(on: Self.loopback), as: "web")
            _ = try? steerd.client.claim("dns")
            let answers = try steerd.ask(
                [("steering/1 metrics", ""), ("steering/1 claim web", ""), ("steering/1 metrics", "")],
                as: SteerdBed.dnsUser)
            try verify(
                !answers[0].contains("web") && answers[0].contains("steerd_held_sockets{label=\"dns\"} 0"), answers[0])
            try verify(answers[2].contains("\nsteerd_refusals_total{code=\"notAllowed\"} 1\n"), answers[2])
            let refused = try steerd.ask([("steering/1 metrics", "")], as: SteerdBed.stranger)
            try verify(refused[0].hasPrefix("error notAllowed"), refused[0])

            let text = try steerd.bed.steer("metrics --steerd \(steerd.socket)")
            for line in [
                "steerd_up 1", "steerd_refusals_total{code=\"notAllowed\"} 2",
                "steerd_refusals_total{code=\"socketNotFound\"} 1", "steerd_held_sockets{label=\"web\"} 1",
                "steerd_requests_total{verb=\"register\"} 1", "steerd_requests_total{verb=\"metrics\"} 2",
            ] {
                try verify(text.split(separator: "\n").contains { $0 == line }, "\(line) in \(text)")
            }
            try verify(text.hasPrefix(try steerd.bed.steer("metrics")), "what stands before it")
            try process.signal("TERM")
            _ = try process.exitCode()
            let gone = try steerd.bed.steer("metrics --steerd \(steerd.socket)")
            try verify(gone.hasSuffix("\nsteerd_up 0\n"), gone)
        }
    }

    @Test("steerd goes and comes: traffic does not notice, and clients connect anew", arguments: ["TERM", "KILL"])
    func restarts(signal: String) async throws {
        try await withSteerdBed { steerd in
            let first = try steerd.start()
            let client = steerd.client
            let own = try OwnedDescriptor.listener(on: Self.loopback)
            try client.register(own, as: "web")
            try first.signal(signal)
            try verify(try first.exitCode(), is: signal == "TERM" ? 0 : 137)
            try verify(Self.reaches(own), "not reached without steerd")
            try verifyThrows(.serviceUnavailable) {
                _ = try SteeringClient(steerd.socket, patience: .milliseconds(50)).status()
            }
            let second = try steerd.start()
            try verify(try client.sockets(of: "web").filter { !$0.isLent }, is: [])
            try client.register(own, as: "web")
            try verify(try client.claim("web").count, is: 1)
            try verify(Self.reaches(own), "not reached after a restart")
            let twin = try steerd.bed.sh(try steerd.line())
            try verify(twin.exitCode == 1 && twin.error.contains("listens at"), "\(twin)")
            let log = try second.error
            try verify(!log.contains("error"), log)
        }
    }
}
