import PolicyFiles
import PoolMoves
import Steering

/// The steering that a move of a pool changes, with the policy file that it follows.
struct HostSteering: PoolSteering {
    let steering: SocketSteering
    let target: Target
    /// The path of the policy file.
    let policy: String

    func wantedPolicy() throws(SteeringError) -> Policy { try PolicyFile.read(contentsOf: policy) }

    func policyInForce() throws(SteeringError) -> Policy { try steering.policy }

    func apply(_ policy: Policy) throws(SteeringError) { try steering.apply(policy) }

    func changes(from former: Policy, to wanted: Policy) throws(SteeringError) -> [PolicyChange] {
        let difference = try wanted.difference(from: former)
        return (difference.added + difference.removed).map { PolicyChange($0.prefix, "'\($0)'") }
            + difference.changedOptions.keys.sorted().map { PolicyChange(nil, "the label \($0)") }
    }

    func unrouted(in pool: PrefixPool) throws(SteeringError) -> String? {
        try Doctor(try target.namespace(), bpffs: target.bpffs).unrouted(in: pool)
    }

    func socketless(_ services: [BoundService], _ families: [IPFamily]) throws(SteeringError) -> String? {
        let taken = Set(try steering.sockets.list().map(\.destination))
        for service in services {
            for family in families {
                for transport in TransportProtocol.allCases where service.traffic.protocols.contains(transport) {
                    let destination = Destination(service.label, family, transport)
                    guard !taken.contains(destination) else { continue }
                    let remedy = try target.place().command(
                        ["register", service.label.name], blanks: ["--pid", "PID", "\(transport)"], namesProcess: true)
                    return "\(destination) has no socket: \(remedy)"
                }
            }
        }
        return nil
    }

    func countArrivals(
        at parts: [IPPrefix]
    ) throws(SteeringError) -> () throws(SteeringError) -> [(prefix: IPPrefix, packets: UInt64)] {
        let counter = try steering.countArrivals(at: parts, in: try target.namespace())
        return { () throws(SteeringError) in try counter.counts().map { ($0.binding.prefix, $0.packets) } }
    }

    func remedy() throws(SteeringError) -> String { try target.place().command(["apply", policy]) }
}

/// A service of a policy: the traffic that it binds for a label.
package struct BoundService: Sendable, CustomStringConvertible {
    let label: Label
    let traffic: Traffic

    package var description: String { "\(traffic.protocols) \(traffic.ports)" }
}

extension Policy: SteeredPolicy {
    package func services(ofAll pool: PrefixPool) -> [BoundService] {
        traffic(ofAll: pool).map { BoundService(label: $0.0, traffic: $0.1) }
    }

    package func unsteered(_ service: BoundService, in pool: PrefixPool) -> PrefixPool {
        unsteered(service.traffic, in: pool)
    }
}

extension SteeringError: MoveFailure {
    package static func refused(_ sentence: String) -> SteeringError { SteeringError(.invalidPolicyFile, sentence) }

    package static func busy(_ sentence: String) -> SteeringError { SteeringError(.busy, sentence) }
}
