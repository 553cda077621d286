import Steering
import Synchronization

/// What the service manager stores a descriptor as, for the steerd after this one.
struct StoredName: Sendable, CustomStringConvertible {
    enum Kind: Hashable, Sendable {
        /// A socket that is held. Cookies are never used again.
        case socket(SocketCookie)
        /// A process that serves.
        case process(Int32)
    }

    let label: Label
    let kind: Kind

    init(_ label: Label, _ kind: Kind) {
        self.label = label
        self.kind = kind
    }

    /// - Returns: Nil for a name that is none of these.
    init?(_ text: String) {
        // Labels have no @.
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

extension ServiceManager {
    /// Has a descriptor stored. FDPOLL: a UDP socket with an error to tell is none that should be forgotten.
    func store(_ descriptor: SharedDescriptor, as name: StoredName) {
        notify("FDSTORE=1\nFDPOLL=0\nFDNAME=\(name)", [descriptor.rawValue])
    }

    func forget(_ name: StoredName) { notify("FDSTOREREMOVE=1\nFDNAME=\(name)") }
}

/// A descriptor that was stored for an earlier process.
struct StoredDescriptor: Sendable {
    let name: StoredName
    let descriptor: SharedDescriptor
}

/// What the service manager passes: the socket to listen at, and what it stored for an earlier process.
struct PassedDescriptors {
    private(set) var listener: MessageListener?
    private(set) var stored: [StoredDescriptor] = []
    /// Who may use which label, as an earlier process knew it.
    private(set) var allowances: SharedDescriptor?

    /// - Parameter disposal: What takes those that are let go of: clients may have a share in them.
    /// - Throws: `invalidEnvironment`.
    init(_ disposal: any DescriptorDisposal) throws(SteeringError) {
        let passed: [ActivatedSocket]
        do throws(SteeringError) { passed = try ActivatedSockets.all() } catch {
            guard error.code == .socketNotFound else { throw error }
            return
        }
        for one in passed {
            let descriptor = OwnedDescriptor(owning: one.descriptor)
            // A socket unit's name is not of that form.
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

/// What was stored for an earlier process, until it is taken: whoever held on to it would keep it open.
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
