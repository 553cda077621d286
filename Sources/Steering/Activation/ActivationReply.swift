/// An answer of steerd: one message, in the format of `docs/protocol.md`.
package enum ActivationReply: Sendable, Equatable {
    /// Success, with a line for each socket or label in the answer.
    case done([String])
    /// Refusal, with a code and a sentence.
    case refused(SteeringError.Code, String)
    /// The answer that udpgrm expects.
    case tubular

    /// The maximum size of an answer, in bytes: a thousand labels fit.
    package static let maximumSize = 192 << 10

    /// Creates a refusal from an error.
    package init(_ error: SteeringError) { self = .refused(error.code, error.message) }

    /// Parses an answer.
    ///
    /// - Parameter bytes: The message.
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
            // A code that only a later version knows is still a refusal, and the sentence explains it.
            self = .refused(SteeringError.Code(words[1]) ?? .invalidMessage, String(words[2]))
        default: throw .invalidReply
        }
    }

    /// The encoded message.
    package var bytes: [UInt8] {
        switch self {
        case .done(let lines): Array((["ok"] + lines).joined(separator: "\n").utf8)
        case .refused(let code, let message):
            Array("error \(code) \(message.split(separator: "\n").joined(separator: " "))".utf8)
        case .tubular: Array("OK".utf8)
        }
    }
}

/// A socket that steerd holds for a label, or that is lent to the label.
public struct HeldSocket: Sendable, Hashable {
    /// The protocol.
    public let transport: TransportProtocol
    /// The address to which it is bound.
    public let boundAddress: SocketAddress
    /// Its cookie, which identifies the socket in the kernel.
    public let cookie: SocketCookie
    /// Whether the label's packets go to it or its SO_REUSEPORT group.
    public let isRegistered: Bool
    /// Whether it is lent: steerd holds no duplicate, so it is closed when its owner closes it.
    ///
    /// `steerd-run` lends the sockets that a program opens itself.
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

    /// The line in an answer. Later versions may append words.
    package var line: String {
        "\(transport) \(boundAddress) \(cookie) \(isRegistered ? "registered" : "held")\(isLent ? " lent" : "")"
    }
}

/// A label at steerd, with its sockets and counters.
public struct LabelHoldings: Sendable, Hashable {
    /// The label.
    public let label: Label
    /// The number of sockets that steerd holds for it.
    public let sockets: Int
    /// Its counters, summed over families and protocols.
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

    /// The line in an answer. Later versions may append words.
    package var line: String {
        "\(label) \(sockets) \(metrics.lookups) \(metrics.misses) \(metrics.incompatible)"
    }
}

extension SteeringError {
    static let invalidReply = SteeringError(
        .invalidMessage, "the answer is not one of steerd's: check that this is its socket, and that versions match")
}
