import ServiceSupport
import Steering
import Synchronization

/// The name under which the service manager stores a descriptor for the next steerd.
struct StoredName: Sendable, CustomStringConvertible {
    enum Kind: Hashable, Sendable {
        /// A held socket. Cookies are never reused.
        case socket(SocketCookie)
        /// A process that serves the label.
        case process(Int32)
    }

    let label: Label
    let kind: Kind

    init(_ label: Label, _ kind: Kind) {
        self.label = label
        self.kind = kind
    }

    /// Parses a name; returns nil for one of another form.
    init?(_ text: String) {
        // Labels contain no @.
        let parts = text.split(separator: "@")
        guard parts.count == 2, let label = try? Label(parts[0]) else { return nil }
        if parts[1].hasPrefix("process-"), let pid = Int32(parts[1].dropFirst(8)) {
            self.init(label, .process(pid))
        } else if let cookie = SocketCookie(parts[1]) {
            self.init(label, .socket(cookie))
        } else {
            return nil
        }
    }

    /// `web@1a2b` or `web@process-4711`.
    var description: String {
        switch kind {
        case .socket(let cookie): "\(label)@\(cookie)"
        case .process(let pid): "\(label)@process-\(pid)"
        }
    }
}

/// A descriptor that was stored for a later steerd.
struct StoredDescriptor: Sendable {
    let name: StoredName
    let descriptor: SharedDescriptor
}

/// The descriptors that the service manager passes: the listening socket, and those that a previous steerd stored.
struct PassedDescriptors {
    private(set) var listener: MessageListener?
    private(set) var stored: [StoredDescriptor] = []
    /// The allowances that a previous steerd stored.
    private(set) var allowances: SharedDescriptor?

    /// Takes the passed descriptors.
    ///
    /// - Parameter disposal: Takes stored descriptors when they are released, since clients may share the sockets.
    /// - Throws: `invalidEnvironment`, `systemCall`.
    init(_ disposal: any DescriptorDisposal) throws(SteeringError) {
        let passed: [ActivatedSocket]
        do throws(SteeringError) { passed = try ActivatedSockets.all() } catch {
            guard error.code == .socketNotFound else { throw error }
            return
        }
        for one in passed {
            let descriptor = OwnedDescriptor(owning: one.descriptor)
            // The name of a socket unit does not have this form.
            if let name = StoredName(one.name ?? "") {
                stored.append(
                    StoredDescriptor(name: name, descriptor: SharedDescriptor(descriptor, disposal: disposal)))
            } else if one.name == StoredAllowances.name {
                allowances = SharedDescriptor(descriptor)
            } else {
                listener = try MessageListener(descriptor)
            }
        }
    }
}

/// The stored descriptors until they are taken: a reference that lasts would keep them open.
final class StoredDescriptors: Sendable {
    private let descriptors: Mutex<[StoredDescriptor]>

    init(_ descriptors: [StoredDescriptor]) { self.descriptors = Mutex(descriptors) }

    func take() -> [StoredDescriptor] {
        descriptors.withLock { descriptors in
            defer { descriptors = [] }
            return descriptors
        }
    }
}
