/// What has been answered.
public struct AnswerCounts: Sendable {
    /// Kinds of answers; each answer is of one.
    public enum Kind: Int, Sendable, CaseIterable {
        /// An address by a policy.
        case address
        /// Records of a zone.
        case records
        /// The name exists, and has nothing of the type.
        case noData
        /// There is no such name.
        case noSuchName
        /// The servers of a delegated zone.
        case referral
        /// Refused: not ours, or not for this client.
        case refused
        /// Not to be read.
        case malformed
        /// Of a kind that is not served: other opcodes, versions of EDNS.
        case notImplemented
        /// About the server, in the class CHAOS; a cookie alone.
        case server
    }

    /// By policy, in their order.
    public internal(set) var byPolicy: [UInt64]
    /// By ``Kind``.
    public internal(set) var byKind = [UInt64](repeating: 0, count: Kind.allCases.count)
    /// Queries that came by UDP and by TCP, answered or not.
    public internal(set) var datagrams: UInt64 = 0, streamed: UInt64 = 0
    /// Answers that were cut because they did not fit, and those that the limit on answers cut or dropped.
    public internal(set) var truncated: UInt64 = 0, limited: UInt64 = 0, dropped: UInt64 = 0
    /// Messages that are left without an answer: answers, and what is too short.
    public internal(set) var ignored: UInt64 = 0
    /// Answers by UDP that could not be sent: no route leads to the client, or the system does not let the socket send
    /// from the address that was asked. They are counted nowhere else as answers.
    public internal(set) var unsent: UInt64 = 0
    /// For each pool, the addresses that were answered, where that is asked for.
    public internal(set) var byAddress: [[UInt64]]?

    init(policies: Int) { byPolicy = Array(repeating: 0, count: policies) }

    mutating func count(_ kind: Kind) { byKind[kind.rawValue] &+= 1 }

    /// Counts an answer as one that could not be sent.
    mutating func takeBack(_ answer: Responder.Answer?, _ serving: Serving) {
        unsent &+= 1
        guard let answer else { return }
        byKind[answer.kind.rawValue] &-= 1
        guard let policy = answer.policy, let address = answer.address else { return }
        byPolicy[policy] &-= 1
        if byAddress != nil { serving.countAddress(address, policy, &self, by: .max) }
    }

    /// Adds another's.
    mutating func add(_ other: AnswerCounts) {
        for index in byPolicy.indices where index < other.byPolicy.count { byPolicy[index] &+= other.byPolicy[index] }
        for index in byKind.indices { byKind[index] &+= other.byKind[index] }
        datagrams &+= other.datagrams
        streamed &+= other.streamed
        truncated &+= other.truncated
        limited &+= other.limited
        dropped &+= other.dropped
        ignored &+= other.ignored
        unsent &+= other.unsent
        guard let addresses = other.byAddress else { return }
        if byAddress == nil { byAddress = addresses.map { Array(repeating: 0, count: $0.count) } }
        for pool in addresses.indices {
            for index in addresses[pool].indices { byAddress![pool][index] &+= addresses[pool][index] }
        }
    }
}
