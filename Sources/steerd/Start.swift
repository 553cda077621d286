import Glibc
import PolicyFiles
import Steering

/// What is done once, with privileges: the policy in force, the socket to listen at, the sockets that are stored.
struct Start: Sendable {
    let policyFile: String
    /// What the file says; or, where it is wrong, what is in force.
    let service: ServicePolicy
    /// Why the file is not what is in force; nil where it is.
    let problem: SteeringError?
    let steering: SocketSteering
    let listener: MessageListener
    let stored: StoredDescriptors
    /// The process that starts services, and of which labels.
    let starter: (connection: MessageSocket, labels: Set<Label>)?
    let limits: Limits
    /// Make and take what talks to clients.
    let attendants: AttendantMaker
    let bin: Bin

    init(policy file: String, socket path: String, bpffs: String, readers: String?) throws(SteeringError) {
        policyFile = file
        attendants = try AttendantMaker.make()
        bin = try Bin(attendants)
        let passed = try PassedDescriptors(bin)
        let basis: Basis
        do throws(SteeringError) {
            basis = try Basis(file, bpffs, readers)
        } catch {
            // Ending would lose the sockets that another steerd has left to this one.
            guard let allowances = passed.allowances, let inForce = try? Basis(bpffs, allowances, error) else {
                throw error
            }
            basis = inForce
        }
        (service, problem, steering, starter) = (basis.service, basis.problem, basis.steering, basis.starter)
        limits = try Limits(startable: starter?.labels.count ?? 0)
        if let listener = passed.listener { self.listener = listener } else { listener = try MessageListener(at: path) }
        stored = StoredDescriptors(passed.stored)
    }

    /// A policy, and the steering in which it is in force.
    private struct Basis {
        let service: ServicePolicy
        let problem: SteeringError?
        let steering: SocketSteering
        let starter: (connection: MessageSocket, labels: Set<Label>)?

        /// Puts the file's in force.
        init(_ file: String, _ bpffs: String, _ readers: String?) throws(SteeringError) {
            service = try ServiceFile.read(file)
            problem = nil
            // A copy of this process: while there is nothing else in it yet.
            starter = try Starter.make(service, policyFile: file)
            let group = try readers.map(Self.group)
            steering = try SocketSteering.loadOrOpen(NetworkNamespace.current(), bpffs: bpffs, readers: group)
            try steering.apply(service.policy)
        }

        /// Takes the one that is in force, and starts nothing.
        init(
            _ bpffs: String, _ allowances: SharedDescriptor, _ problem: SteeringError
        ) throws(SteeringError) {
            steering = try SocketSteering.open(NetworkNamespace.current(), bpffs: bpffs)
            service = ServicePolicy(policy: try steering.policy, services: try StoredAllowances.read(allowances))
            self.problem = problem
            starter = nil
        }

        private static func group(_ name: String) throws(SteeringError) -> UInt32 {
            if let number = UInt32(name) { return number }
            guard let entry = getgrnam(name) else { throw .noGroup(name) }
            return entry.pointee.gr_gid
        }
    }
}

extension SteeringError {
    fileprivate static func noGroup(_ name: String) -> SteeringError {
        SteeringError(
            .invalidEnvironment, "this machine has no group \(name) of readers: make it (groupadd --system \(name))")
    }
}
