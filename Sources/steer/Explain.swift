import ArgumentParser
import CommandSupport
import Steering

struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Show which socket gets a packet, and why.",
        discussion: """
            Lists the bindings that match, the one that decides first, and the result of the kernel's own lookup for \
            the first packet of such a flow, which includes established connections, other programs and SO_REUSEPORT \
            groups. No packet is sent, but the counters include the lookup. Bindings with a source or an interface \
            match only a packet that has one: --from and --on.

              steer explain tcp 192.0.2.7 443
              steer explain udp 2001:db8::7 53 --from 198.51.100.9:4711 --on eth0
            """)

    @Argument(help: "tcp or udp.")
    var transport: String

    @Argument(help: "The destination address.")
    var address: String

    @Argument(help: "The destination port.")
    var port: UInt16

    @Option(help: ArgumentHelp("The source of the packet.", valueName: "address[:port]"))
    var from: String?

    @Option(help: ArgumentHelp("The interface on which it arrives.", valueName: "interface"))
    var on: String?

    @OptionGroup var target: Target

    func run() throws {
        let destination = try parsed { SocketAddress(try IPAddress(address), port: port) }
        let source = try from.map { text in try parsed { try Self.source(text) } }
        let packet = Packet(try steer.transport(transport), to: destination, from: source, on: try on.map(interface))
        let found = try target.open(for: .reading).explain(packet, in: try target.namespace())
        print(target.json ? JSON.text(ExplanationReport(found)) : ExplanationReport.text(found))
    }

    private static func source(_ text: String) throws(AddressError) -> SocketAddress {
        if let address = try? IPAddress(text) { return SocketAddress(address, port: 0) }
        return try SocketAddress(text)
    }
}

/// The output of `steer explain`.
struct ExplanationReport: Encodable {
    struct Candidate: Encodable {
        let binding: BindingReport
        let reason: String?
    }
    struct Socket: Encodable {
        let cookie, bound: String
        let owners: [OwnerReport]
    }
    struct Kernel: Encodable {
        let verdict: String
        let socket: Socket?
        let established: Bool?
        let reason: String?
    }
    let candidates: [Candidate]
    /// The decision, as a machine-readable word and as a sentence.
    let code, decision: String
    let sockets: [Socket]
    let lookups, misses, incompatible: UInt64?
    let kernel: Kernel
    let agrees: Bool
    let caveats: [String]

    init(_ found: Explanation) {
        func socket(_ cookie: SocketCookie, _ bound: SocketAddress) -> Socket {
            Socket(
                cookie: cookie.description, bound: bound.description,
                owners: (found.owners[cookie] ?? []).map(OwnerReport.init))
        }
        candidates = found.candidates.map { Candidate(binding: BindingReport($0.binding), reason: $0.reason) }
        code = Self.code(found.decision)
        decision = Self.text(found.decision)
        if case .steered(let registered) = found.decision {
            sockets = registered.map { socket($0.cookie, $0.boundAddress) }
        } else {
            sockets = []
        }
        (lookups, misses, incompatible) = (
            found.metrics?.lookups, found.metrics?.misses, found.metrics?.incompatible
        )
        kernel =
            switch found.kernel {
            case .delivered(let receiver):
                Kernel(
                    verdict: "delivered", socket: socket(receiver.cookie, receiver.boundAddress),
                    established: receiver.isConnected, reason: nil)
            case .refused: Kernel(verdict: "refused", socket: nil, established: nil, reason: nil)
            case .unknown(let reason): Kernel(verdict: "unknown", socket: nil, established: nil, reason: reason)
            }
        agrees = found.agrees
        caveats = found.caveats
    }

    private static func code(_ decision: Explanation.Decision) -> String {
        switch decision {
        case .steered: "steered"
        case .withoutSocket(_, .refuse): "refusedWithoutSocket"
        case .withoutSocket(_, .pass): "passedWithoutSocket"
        case .refused: "refused"
        case .passed: "passed"
        case .notSteered: "notSteered"
        }
    }

    private static func text(_ decision: Explanation.Decision) -> String {
        switch decision {
        case .steered(let sockets): "steered to \(sockets[0].destination)"
        case .withoutSocket(let destination, .refuse): "refused: \(destination) has no socket"
        case .withoutSocket(let destination, .pass): "passed to the ordinary lookup: \(destination) has no socket"
        case .refused: "refused by a binding"
        case .passed: "passed to the ordinary lookup by a binding"
        case .notSteered: "not steered: no binding matches; the ordinary lookup follows"
        }
    }

    static func text(_ found: Explanation) -> String {
        var lines: [String] = []
        func socket(_ cookie: SocketCookie, _ bound: SocketAddress) -> String {
            "socket \(cookie), bound to \(bound), of \(shortened(found.owners[cookie] ?? []))"
        }
        for (index, candidate) in found.candidates.enumerated() {
            lines.append((index == 0 ? "decides   " : "          ") + "\(candidate.binding)")
            if let reason = candidate.reason { lines[lines.count - 1] += "   (after the one above: \(reason))" }
        }
        lines.append("decision  \(text(found.decision))")
        if case .steered(let registered) = found.decision {
            for each in registered {
                let role = each.isStandIn ? " (stand-in)" : ""
                lines.append("          \(socket(each.cookie, each.boundAddress))\(role)")
            }
        }
        if let metrics = found.metrics {
            lines.append(
                "counters  \(metrics.lookups) lookups, \(metrics.misses) misses, \(metrics.incompatible) incompatible")
        }
        switch found.kernel {
        case .delivered(let receiver):
            let way = receiver.isConnected ? "the connected " : ""
            lines.append("kernel    delivers to \(way)\(socket(receiver.cookie, receiver.boundAddress))")
        case .refused: lines.append("kernel    refuses: no socket receives it")
        case .unknown(let reason): lines.append("kernel    unknown: \(reason)")
        }
        lines += found.caveats.map { "note      \($0)" }
        return lines.joined(separator: "\n")
    }
}
