import PolicyFiles
import Steering

/// What is done once, with privileges: the policy in force, the socket to listen at, the sockets that are stored.
struct Start: Sendable {
    let policyFile: String
    let service: ServicePolicy
    let steering: SocketSteering
    let listener: MessageListener
    let stored: StoredDescriptors
    /// The process that starts services, and of which labels.
    let starter: (connection: MessageSocket, labels: Set<Label>)?
    let limits: Limits
    /// Make and take what talks to clients.
    let attendants: AttendantMaker
    let bin: Bin

    init(policy file: String, socket path: String, bpffs: String) throws(SteeringError) {
        policyFile = file
        service = try PolicyFile.readForService(contentsOf: file)
        // A copy of this process: while there is nothing else in it yet.
        starter = try Starter.make(service, policyFile: file)
        limits = try Limits(startable: starter?.labels.count ?? 0)
        attendants = try AttendantMaker.make()
        bin = try Bin(attendants)
        let passed = try PassedDescriptors(bin)
        if let listener = passed.listener { self.listener = listener } else { listener = try MessageListener(at: path) }
        stored = StoredDescriptors(passed.stored)
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
