import Steering

/// A socket that steerd holds.
struct Holding: Sendable, CustomStringConvertible {
    let descriptor: SharedDescriptor
    let facts: SteerableSocket

    var description: String { "\(facts.transport) \(facts.localAddress)" }

    /// Returns the socket as it appears in answers.
    func shown(among registered: [RegisteredSocket]) -> HeldSocket {
        let isRegistered = registered.contains { other in
            other.cookie == facts.cookie
                // Of a large SO_REUSEPORT group not all members are stored, but the kernel distributes packets over
                // all.
                || facts.isReuseport && other.boundAddress == facts.localAddress
                    && other.destination.transport == facts.transport
        }
        return HeldSocket(facts.transport, facts.localAddress, facts.cookie, isRegistered)
    }

    func destinations(_ label: Label) -> [Destination] {
        facts.families.map { Destination(label, $0, facts.transport) }
    }
}

/// The held sockets by label, in the order of registration. Each has a duplicate here, which keeps it open after its
/// service ends; removing it closes the duplicate.
struct Holdings: Sendable {
    private var byLabel: [Label: [Holding]] = [:]
    private(set) var count = 0

    var labels: Dictionary<Label, [Holding]>.Keys { byLabel.keys }

    subscript(label: Label) -> [Holding] {
        get { byLabel[label] ?? [] }
        set {
            count += newValue.count - (byLabel[label]?.count ?? 0)
            byLabel[label] = newValue.isEmpty ? nil : newValue
        }
    }
}
