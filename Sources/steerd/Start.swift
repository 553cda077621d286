import PolicyFiles
import Steering
import Synchronization

/// What is done once, with privileges: the policy in force, the socket to listen at, the sockets that are stored.
struct Start: Sendable {
    let policyFile: String
    let service: ServicePolicy
    let steering: SocketSteering
    let listener: MessageListener
    let stored: StoredSockets
    let limits: Limits

    init(policy file: String, socket path: String, bpffs: String) throws(SteeringError) {
        policyFile = file
        limits = try Limits()
        service = try PolicyFile.readForService(contentsOf: file)
        let passed = try PassedSockets()
        if let listener = passed.listener { self.listener = listener } else { listener = try MessageListener(at: path) }
        stored = StoredSockets(passed.stored)
        steering = try Self.steering(bpffs)
        try steering.apply(service.policy)
    }

    private static func steering(_ bpffs: String) throws(SteeringError) -> SocketSteering {
        let namespace = try NetworkNamespace.current()
        do throws(SteeringError) {
            return try SocketSteering.load(into: namespace, bpffs: bpffs)
        } catch {
            guard error.code == .alreadyLoaded else { throw error }
            return try SocketSteering.open(namespace, bpffs: bpffs)
        }
    }
}

/// What the service manager passes: the socket to listen at, and those that it stored for an earlier process.
struct PassedSockets {
    private(set) var listener: MessageListener?
    private(set) var stored: [(label: Label, descriptor: SharedDescriptor)] = []

    /// - Throws: `invalidEnvironment`.
    init() throws(SteeringError) {
        let sockets: [ActivatedSocket]
        do throws(SteeringError) { sockets = try ActivatedSockets.all() } catch {
            guard error.code == .socketNotFound else { throw error }
            return
        }
        for socket in sockets {
            let descriptor = OwnedDescriptor(owning: socket.descriptor)
            // LABEL@COOKIE is what steerd stores sockets as; a socket unit's name is not of that form.
            let parts = socket.name?.split(separator: "@") ?? []
            if parts.count == 2, let label = try? Label(parts[0]) {
                stored.append((label, SharedDescriptor(descriptor)))
            } else {
                listener = try MessageListener(descriptor)
            }
        }
    }
}

/// The sockets that were stored for an earlier process, until they are taken: whoever held on to them would keep them
/// open.
final class StoredSockets: Sendable {
    private let sockets: Mutex<[(label: Label, descriptor: SharedDescriptor)]>

    init(_ sockets: [(label: Label, descriptor: SharedDescriptor)]) { self.sockets = Mutex(sockets) }

    func take() -> [(label: Label, descriptor: SharedDescriptor)] {
        sockets.withLock { sockets in
            defer { sockets = [] }
            return sockets
        }
    }
}
