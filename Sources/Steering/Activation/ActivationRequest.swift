/// A client's request to steerd: one message, in the format of `docs/protocol.md`.
package enum ActivationRequest: Sendable, Hashable {
    /// Registers the sockets in the message and has steerd hold them, beside their SO_REUSEPORT group or in place of
    /// the label's sockets.
    case register(Label, replacing: Bool)
    /// Registers the sockets in the message without having steerd hold them: they remain their owner's alone.
    case lend(Label, replacing: Bool)
    /// Registers the socket in the message to receive packets while the label has no other.
    case standby(Label)
    /// Unregisters the sockets in the message, or the one with this cookie; if neither is given, all of the label.
    case unregister(Label, SocketCookie? = nil)
    /// Requests duplicates of the sockets that are held for the label.
    case claim(Label)
    /// Requests a list of the label's sockets: those held, then those lent.
    case list(Label)
    /// Requests a list of the labels that the client may use, with their sockets and counters.
    case status
    /// Requests the number of what is loaded, and the destinations of the label that bindings lead to.
    case loaded(Label?)
    /// Requests steerd's own counters.
    case metrics
    /// Has steerd reread its policy file.
    case reload
    /// The message of udpgrm to tubular: registers the sockets in it in place of the label's.
    case tubular(Label)

    /// The first word of every message.
    static let version = "steering/1"
    /// The maximum size of a message, in bytes.
    package static let maximumSize = 256

    /// Parses a message.
    ///
    /// - Parameters:
    ///   - bytes: The message.
    ///   - count: The number of descriptors in it.
    /// - Throws: `invalidMessage`, `unsupportedVersion`, `invalidLabel`.
    package init(_ bytes: [UInt8], descriptors count: Int) throws(SteeringError) {
        guard bytes.count <= Self.maximumSize else { throw .invalid("is longer than \(Self.maximumSize) bytes") }
        guard bytes.allSatisfy({ (0x20...0x7e).contains($0) }) else {
            throw .invalid("has bytes that are not visible ASCII")
        }
        let text = String(decoding: bytes, as: UTF8.self)
        if text.last == "#", !text.contains(" ") {
            self = .tubular(try Label(text.dropLast()))
            guard count > 0 else { throw .invalid("brings no socket") }
            return
        }
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words[0] == Self.version else { throw .version(words[0]) }
        let verb = words.count > 1 ? String(words[1]) : ""
        let arguments = words.dropFirst(2)
        guard let known = Self.arguments[verb] else { throw .invalid("has an unknown verb") }
        guard arguments.count >= known.lowerBound else { throw .invalid("names no label") }
        guard arguments.count <= known.upperBound else { throw .invalid("has more words than \(verb) takes") }
        if Self.bringing.contains(verb), count == 0 { throw .invalid("brings no socket") }
        if count > 0, verb != "unregister" || arguments.count > 1, !Self.bringing.contains(verb) {
            throw .invalid("brings descriptors, which \(verb) does not take")
        }

        guard let name = arguments.first else {
            self =
                switch verb {
                case "status": .status
                case "metrics": .metrics
                case "loaded": .loaded(nil)
                default: .reload
                }
            return
        }
        let label = try Label(name)
        switch verb {
        case "register", "lend":
            guard arguments.count == 1 || arguments.last == "replacing" else {
                throw .invalid("has an unknown word where only \"replacing\" is allowed")
            }
            let isReplacing = arguments.count > 1
            self = verb == "lend" ? .lend(label, replacing: isReplacing) : .register(label, replacing: isReplacing)
        case "standby": self = .standby(label)
        case "unregister":
            let cookie = arguments.count > 1 ? SocketCookie(arguments.last!) : nil
            guard arguments.count == 1 || cookie != nil else { throw .invalid("has an invalid cookie") }
            self = .unregister(label, cookie)
        case "claim": self = .claim(label)
        case "loaded": self = .loaded(label)
        default: self = .list(label)
        }
    }

    /// The number of words after each verb.
    private static let arguments = [
        "register": 1...2, "lend": 1...2, "standby": 1...1, "unregister": 1...2, "claim": 1...1, "list": 1...1,
        "loaded": 0...1, "status": 0...0, "metrics": 0...0, "reload": 0...0,
    ]

    /// The verbs that require sockets in the message.
    private static let bringing = ["register", "lend", "standby"]

    /// The label of the request; nil for requests without one.
    package var label: Label? {
        switch self {
        case .register(let label, _), .lend(let label, _), .standby(let label), .unregister(let label, _),
            .claim(let label), .list(let label), .tubular(let label):
            label
        case .loaded(let label): label
        case .status, .metrics, .reload: nil
        }
    }

    /// The verb of the request.
    package var verb: String {
        switch self {
        case .register, .tubular: "register"
        case .lend: "lend"
        case .standby: "standby"
        case .unregister: "unregister"
        case .claim: "claim"
        case .list: "list"
        case .loaded: "loaded"
        case .status: "status"
        case .metrics: "metrics"
        case .reload: "reload"
        }
    }

    /// Whether the client has sockets of the label once the request is done.
    package var givesSockets: Bool { ["register", "lend", "claim"].contains(verb) }

    /// The encoded message.
    package var bytes: [UInt8] {
        let text =
            switch self {
            case .tubular(let label): "\(label)#"
            case .register(let label, true), .lend(let label, true): "\(Self.version) \(verb) \(label) replacing"
            case .unregister(let label, let cookie?): "\(Self.version) \(verb) \(label) \(cookie)"
            case .register(let label, _), .lend(let label, _), .standby(let label), .unregister(let label, _),
                .claim(let label), .list(let label), .loaded(let label?):
                "\(Self.version) \(verb) \(label)"
            case .loaded, .status, .metrics, .reload: "\(Self.version) \(verb)"
            }
        return Array(text.utf8)
    }
}

extension SteeringError {
    fileprivate static func invalid(_ problem: String) -> SteeringError {
        SteeringError(.invalidMessage, "the message \(problem): docs/protocol.md lists the messages")
    }

    fileprivate static func version(_ word: Substring) -> SteeringError {
        // Only a word with this prefix is a version.
        guard word.hasPrefix("steering/") else { return .invalid("does not begin with \(ActivationRequest.version)") }
        return SteeringError(
            .unsupportedVersion,
            "this steerd speaks \(ActivationRequest.version), not \(word.prefix(20)): send that, or upgrade steerd")
    }
}
