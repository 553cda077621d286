/// What steerd answers: one message. `docs/protocol.md` tells how it is written.
package enum ActivationReply: Sendable, Equatable {
    /// It is done; a line for each socket or label that the answer is about.
    case done([String])
    /// It is not done, and why.
    case refused(SteeringError.Code, String)
    /// What udpgrm awaits.
    case tubular

    /// The longest answer, in bytes: a thousand labels fit.
    package static let maximumSize = 192 << 10

    /// The answer to what failed.
    package init(_ error: SteeringError) { self = .refused(error.code, error.message) }

    /// Reads an answer.
    ///
    /// - Throws: `invalidMessage`.
    package init(_ bytes: [UInt8]) throws(SteeringError) {
        guard bytes.count <= Self.maximumSize, let text = String(validating: bytes, as: UTF8.self) else {
            throw .invalidReply
        }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let words = lines[0].split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        switch words[0] {
        case "OK" where text == "OK": self = .tubular
        case "ok" where lines[0] == "ok": self = .done(lines.dropFirst().map(String.init))
        case "error" where words.count == 3 && lines.count == 1:
            // A code that only a later version knows is still a refusal, and the sentence tells which.
            self = .refused(SteeringError.Code(words[1]) ?? .invalidMessage, String(words[2]))
        default: throw .invalidReply
        }
    }

    /// The message.
    package var bytes: [UInt8] {
        switch self {
        case .done(let lines): Array((["ok"] + lines).joined(separator: "\n").utf8)
        case .refused(let code, let message):
            Array("error \(code) \(message.split(separator: "\n").joined(separator: " "))".utf8)
        case .tubular: Array("OK".utf8)
        }
    }
}

/// A socket that steerd holds for a label, or that is lent to it.
public struct HeldSocket: Sendable, Hashable {
    /// The protocol.
    public let transport: TransportProtocol
    /// Where it is bound.
    public let boundAddress: SocketAddress
    /// The kernel's identity of it.
    public let cookie: SocketCookie
    /// Whether the label's packets go to it, or to its SO_REUSEPORT group.
    public let isRegistered: Bool
    /// Whether steerd holds no duplicate: it is closed when its owner closes it. `steerd-run` lends what a program opens
    /// itself.
    public let isLent: Bool

    package init(
        _ transport: TransportProtocol, _ boundAddress: SocketAddress, _ cookie: SocketCookie, _ isRegistered: Bool,
        isLent: Bool = false
    ) {
        self.transport = transport
        self.boundAddress = boundAddress
        self.cookie = cookie
        self.isRegistered = isRegistered
        self.isLent = isLent
    }

    package init(line: String) throws(SteeringError) {
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count >= 4, let transport = TransportProtocol.allCases.first(where: { $0.description == words[0] }),
            let address = try? SocketAddress(words[1]), let cookie = SocketCookie(words[2]),
            ["registered", "held"].contains(words[3])
        else { throw .invalidReply }
        self.init(
            transport, address, cookie, words[3] == "registered", isLent: words.dropFirst(4).contains("lent"))
    }

    /// As answers have it. Later versions may append words.
    package var line: String {
        "\(transport) \(boundAddress) \(cookie) \(isRegistered ? "registered" : "held")\(isLent ? " lent" : "")"
    }
}

/// What steerd knows of a label.
public struct LabelHoldings: Sendable, Hashable {
    /// The label.
    public let label: Label
    /// How many sockets are held for it.
    public let sockets: Int
    /// Its counters, over both families and protocols.
    public let metrics: DestinationMetrics

    package init(_ label: Label, sockets: Int, _ metrics: DestinationMetrics) {
        self.label = label
        self.sockets = sockets
        self.metrics = metrics
    }

    package init(line: String) throws(SteeringError) {
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        let numbers = words.dropFirst().prefix(4).compactMap { UInt64($0) }
        guard numbers.count == 4, let label = try? Label(words[0]), let sockets = Int(exactly: numbers[0]) else {
            throw .invalidReply
        }
        self.init(
            label, sockets: sockets,
            DestinationMetrics(lookups: numbers[1], misses: numbers[2], incompatible: numbers[3]))
    }

    /// As answers have it. Later versions may append words.
    package var line: String {
        "\(label) \(sockets) \(metrics.lookups) \(metrics.misses) \(metrics.incompatible)"
    }
}

extension SteeringError {
    static let invalidReply = SteeringError(
        .invalidMessage, "the answer is none of steerd's: is this its socket, and steerd of this version?")
}
