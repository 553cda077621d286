import AddressPools
import Documents

/// The steering of a host, as far as moving a pool needs it.
///
/// This module links no steering of its own: steer-dns drains pools with it, too.
package protocol PoolSteering: Sendable {
    associatedtype Failure: MoveFailure
    associatedtype Policy: SteeredPolicy

    /// Reads the policy file.
    func wantedPolicy() throws(Failure) -> Policy

    /// Returns the policy in force.
    func policyInForce() throws(Failure) -> Policy

    /// Puts a policy in force.
    func apply(_ policy: Policy) throws(Failure)

    /// Returns how two policies differ.
    func changes(from former: Policy, to wanted: Policy) throws(Failure) -> [PolicyChange]

    /// Returns a sentence about addresses whose packets are not delivered to this host; nil if all are.
    func unrouted(in pool: PrefixPool) throws(Failure) -> String?

    /// Returns a sentence about a service that has no socket for packets of these families; nil if all have.
    func socketless(_ services: [Policy.Service], _ families: [IPFamily]) throws(Failure) -> String?

    /// Starts to count the packets that are steered at parts of the address space.
    ///
    /// - Returns: A function that returns the packets so far, by prefixes within the parts. If the policy changes, the
    ///   counts of removed bindings are lost; call it every second to follow such changes.
    func countArrivals(
        at parts: [IPPrefix]
    ) throws(Failure) -> () throws(Failure) -> [(prefix: IPPrefix, packets: UInt64)]

    /// The command that puts the policy file in force.
    func remedy() throws(Failure) -> String
}

/// A policy, as far as moving a pool needs it.
package protocol SteeredPolicy: Sendable {
    /// Ports and protocols that lead to a label; the description has the protocols and ports.
    associatedtype Service: CustomStringConvertible & Sendable

    /// Returns the addresses of a pool at which nothing is steered.
    func unsteered(in pool: PrefixPool) -> PrefixPool

    /// Returns the services that every address of a pool has.
    func services(ofAll pool: PrefixPool) -> [Service]

    /// Returns the addresses of a pool at which not all packets of a service are steered.
    func unsteered(_ service: Service, in pool: PrefixPool) -> PrefixPool
}

/// A difference between two policies.
package struct PolicyChange: Sendable {
    /// The destination of the binding that one of them lacks; nil for the options of a label.
    package let prefix: IPPrefix?
    package let description: String

    package init(_ prefix: IPPrefix?, _ description: String) {
        self.prefix = prefix
        self.description = description
    }
}

/// The error of a move: one sentence with the reason and the remedy.
package protocol MoveFailure: Error {
    /// The files or the policy do not allow the move.
    static func refused(_ sentence: String) -> Self
    /// Another move is under way.
    static func busy(_ sentence: String) -> Self
}

extension MoveFailure {
    /// Runs a function that reads or writes files, and converts its errors.
    static func files<Value>(_ body: () throws(DocumentError) -> Value) throws(Self) -> Value {
        do throws(DocumentError) { return try body() } catch { throw .refused(error.message) }
    }
}
