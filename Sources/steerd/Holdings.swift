import Steering

/// A socket that is held.
struct Holding: Sendable, CustomStringConvertible {
    let descriptor: SharedDescriptor
    let facts: SteerableSocket

    /// - Throws: The reason why it cannot be steered to.
    init(_ descriptor: SharedDescriptor) throws(SteeringError) {
        self.descriptor = descriptor
        facts = try SteerableSocket(descriptor.rawValue)
    }

    /// Whether the kernel says so. A look that fails, for want of memory for example, says nothing.
    var cannotBeSteeredTo: Bool {
        do throws(SteeringError) {
            _ = try SteerableSocket(descriptor.rawValue)
            return false
        } catch { return error.errno == 0 }
    }

    var description: String { "\(facts.transport) \(facts.localAddress)" }

    /// The socket as answers show it.
    func shown(among registered: [RegisteredSocket]) -> HeldSocket {
        let isRegistered = registered.contains { other in
            other.cookie == facts.cookie
                // Of a large SO_REUSEPORT group some members are not remembered; the kernel spreads over them, too.
                || facts.isReuseport && other.boundAddress == facts.localAddress
                    && other.destination.transport == facts.transport
        }
        return HeldSocket(facts.transport, facts.localAddress, facts.cookie, isRegistered)
    }

    func destinations(_ label: Label) -> [Destination] {
        facts.families.map { Destination(label, $0, facts.transport) }
    }
}

/// The sockets that are held, by label, in the order in which they came. A duplicate of each is kept here, so that
/// it lives when its service ends; what is taken out is closed.
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
