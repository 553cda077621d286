/// What a client asks of steerd: one message. `docs/protocol.md` tells how it is written.
package enum ActivationRequest: Sendable, Hashable {
    /// The sockets that come with it are the label's: beside those of their SO_REUSEPORT group, or in place of all.
    case register(Label, replacing: Bool)
    /// The same, but they are not to be held: they stay their owner's alone.
    case lend(Label, replacing: Bool)
    /// The socket that comes with it takes what comes while the label has no other.
    case standby(Label)
    /// The sockets that come with it are the label's no more, or the one of this identity; none: all of the label.
    case unregister(Label, SocketCookie? = nil)
    /// The label's sockets, please.
    case claim(Label)
    /// Which sockets are held for the label?
    case list(Label)
    /// How are the labels that this client may use?
    case status
    /// What happened since steerd was started?
    case metrics
    /// Read the policy file again, please.
    case reload
    /// What udpgrm sends to tubular: the sockets that come with it take the label's place.
    case tubular(Label)

    /// What every message begins with.
    static let version = "steering/1"
    /// The longest message, in bytes.
    package static let maximumSize = 256

    /// Reads a message.
    ///
    /// - Parameter count: How many descriptors came with it.
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
        guard let known = Self.arguments[verb] else { throw .invalid("has no verb that is known") }
        guard arguments.count >= known.lowerBound else { throw .invalid("names no label") }
        guard arguments.count <= known.upperBound else { throw .invalid("has more words than \(verb) takes") }
        if Self.bringing.contains(verb), count == 0 { throw .invalid("brings no socket") }
        if count > 0, verb != "unregister" || arguments.count > 1, !Self.bringing.contains(verb) {
            throw .invalid("brings descriptors, which \(verb) does not take")
        }

        guard let name = arguments.first else {
            self = verb == "status" ? .status : verb == "metrics" ? .metrics : .reload
            return
        }
        let label = try Label(name)
        switch verb {
        case "register", "lend":
            guard arguments.count == 1 || arguments.last == "replacing" else {
                throw .invalid("has a word in the place of replacing")
            }
            let isReplacing = arguments.count > 1
            self = verb == "lend" ? .lend(label, replacing: isReplacing) : .register(label, replacing: isReplacing)
        case "standby": self = .standby(label)
        case "unregister":
            let cookie = arguments.count > 1 ? SocketCookie(arguments.last!) : nil
            guard arguments.count == 1 || cookie != nil else { throw .invalid("has a word in the place of a cookie") }
            self = .unregister(label, cookie)
        case "claim": self = .claim(label)
        default: self = .list(label)
        }
    }

    /// How many words follow each verb.
    private static let arguments = [
        "register": 1...2, "lend": 1...2, "standby": 1...1, "unregister": 1...2, "claim": 1...1, "list": 1...1,
        "status": 0...0, "metrics": 0...0, "reload": 0...0,
    ]

    /// The verbs that bring sockets.
    private static let bringing = ["register", "lend", "standby"]

    /// The label that it is about.
    package var label: Label? {
        switch self {
        case .register(let label, _), .lend(let label, _), .standby(let label), .unregister(let label, _),
            .claim(let label), .list(let label), .tubular(let label):
            label
        case .status, .metrics, .reload: nil
        }
    }

    /// What it asks for, in a word.
    package var verb: String {
        switch self {
        case .register, .tubular: "register"
        case .lend: "lend"
        case .standby: "standby"
        case .unregister: "unregister"
        case .claim: "claim"
        case .list: "list"
        case .status: "status"
        case .metrics: "metrics"
        case .reload: "reload"
        }
    }

    /// Whether the client has sockets of the label when it is done.
    package var givesSockets: Bool { ["register", "lend", "claim"].contains(verb) }

    /// The message.
    package var bytes: [UInt8] {
        let text =
            switch self {
            case .tubular(let label): "\(label)#"
            case .register(let label, true), .lend(let label, true): "\(Self.version) \(verb) \(label) replacing"
            case .unregister(let label, let cookie?): "\(Self.version) \(verb) \(label) \(cookie)"
            case .register(let label, _), .lend(let label, _), .standby(let label), .unregister(let label, _),
                .claim(let label), .list(let label):
                "\(Self.version) \(verb) \(label)"
            case .status, .metrics, .reload: "\(Self.version) \(verb)"
            }
        return Array(text.utf8)
    }
}

extension SteeringError {
    fileprivate static func invalid(_ problem: String) -> SteeringError {
        SteeringError(.invalidMessage, "the message \(problem): docs/protocol.md tells what steerd understands")
    }

    fileprivate static func version(_ word: Substring) -> SteeringError {
        // Only what begins like a version is one.
        guard word.hasPrefix("steering/") else { return .invalid("does not begin with \(ActivationRequest.version)") }
        return SteeringError(
            .unsupportedVersion,
            "this steerd speaks \(ActivationRequest.version), not \(word.prefix(20)): send that, or upgrade steerd")
    }
}
