import Glibc
import PolicyFiles
import ServiceSupport
import Steering

/// The start with privileges: opens the listening socket, takes over stored sockets and puts the policy in force.
struct Start: Sendable {
    let policyFile: String
    /// The contents of the policy file or, if that is wrong, the policy in force.
    let service: ServicePolicy
    /// The reason why the policy file is not in force; nil if it is.
    let problem: SteeringError?
    let steering: SocketSteering
    let listener: MessageListener
    let stored: StoredDescriptors
    /// The connection to the process that starts services, and the labels that it can start.
    let starter: (connection: MessageSocket, labels: Set<Label>)?
    let limits: Limits
    /// The processes that serve clients, and that close their descriptors.
    let attendants: AttendantMaker
    let bin: Bin

    init(policy file: String, socket path: String, bpffs: String, readers: String?) throws(SteeringError) {
        policyFile = file
        attendants = try AttendantMaker.make()
        bin = try Bin(attendants)
        let passed = try PassedDescriptors(bin)
        // Whatever does not depend on the policy comes first: if it fails, nothing has changed.
        if let listener = passed.listener { self.listener = listener } else { listener = try MessageListener(at: path) }
        stored = StoredDescriptors(passed.stored)
        let basis: Basis
        do throws(SteeringError) {
            basis = try Basis(file, bpffs, readers)
        } catch {
            // Exiting would lose the sockets that a previous steerd has left.
            guard let allowances = passed.allowances, let inForce = try? Basis(bpffs, allowances, error) else {
                throw error
            }
            basis = inForce
        }
        (service, problem, steering) = (basis.service, basis.problem, basis.steering)
        (starter, limits) = (basis.starter, basis.limits)
    }

    /// A policy, and the steering in which it is in force.
    private struct Basis {
        let service: ServicePolicy
        let problem: SteeringError?
        let steering: SocketSteering
        let starter: (connection: MessageSocket, labels: Set<Label>)?
        let limits: Limits

        /// Applies the policy in a file, loading the steering if necessary.
        init(_ file: String, _ bpffs: String, _ readers: String?) throws(SteeringError) {
            service = try ServiceFile.read(file)
            problem = nil
            // Forked before the steering's descriptors are open.
            starter = try Starter.make(service, policyFile: file)
            limits = try Limits(startable: starter?.labels.count ?? 0)
            let group = try readers.map(Self.group)
            steering = try SocketSteering.loadOrOpen(NetworkNamespace.current(), bpffs: bpffs, readers: group)
            try steering.apply(service.policy)
        }

        /// Takes the policy that is in force, and starts no services.
        init(
            _ bpffs: String, _ allowances: SharedDescriptor, _ problem: SteeringError
        ) throws(SteeringError) {
            steering = try SocketSteering.open(NetworkNamespace.current(), bpffs: bpffs)
            service = ServicePolicy(policy: try steering.policy, services: try StoredAllowances.read(allowances))
            self.problem = problem
            starter = nil
            limits = try Limits(startable: 0)
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
            .invalidEnvironment, "there is no group \(name): create it (groupadd --system \(name))")
    }
}
