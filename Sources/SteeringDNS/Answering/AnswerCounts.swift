/// Counts of queries and answers, by kind and by policy.
public struct AnswerCounts: Sendable {
    /// The kinds of answers, one for each answer.
    public enum Kind: Int, Sendable, CaseIterable {
        /// An address by a policy.
        case address
        /// Records of a zone.
        case records
        /// NODATA: the name exists but has no records of the type (NOERROR).
        case noData
        /// NXDOMAIN: the name does not exist.
        case nameError
        /// A referral to the name servers of a delegated zone.
        case referral
        /// REFUSED, or a query signed with TSIG: not served here, or not for this client.
        case refused
        /// FORMERR: the query is malformed.
        case formatError
        /// NOTIMP or BADVERS: an opcode, a query type or an EDNS version that is not implemented.
        case notImplemented
        /// Information about the server, in class CHAOS, or a cookie alone.
        case server

        /// The value of the label `kind` in metrics.
        public var label: String {
            switch self {
            case .nameError: "noSuchName"
            case .formatError: "malformed"
            default: "\(self)"
            }
        }
    }

    /// Answers with an address, by index in ``AddressPolicies/policies``.
    public internal(set) var byPolicy: [UInt64]
    /// Answers by the raw value of ``Kind``.
    public internal(set) var byKind = [UInt64](repeating: 0, count: Kind.allCases.count)
    /// Queries received over UDP and over TCP, answered or not.
    public internal(set) var datagrams: UInt64 = 0, streamed: UInt64 = 0
    /// Answers sent truncated (TC set); those of them that the response limit truncated; and answers that the limit
    /// dropped.
    public internal(set) var truncated: UInt64 = 0, limited: UInt64 = 0, dropped: UInt64 = 0
    /// Messages without an answer: responses, and messages shorter than a DNS header.
    public internal(set) var ignored: UInt64 = 0
    /// UDP answers that could not be sent: there is no route to the client, or the kernel rejects the source address.
    ///
    /// They are subtracted from ``byKind``, ``byPolicy`` and ``byAddress`` again.
    public internal(set) var unsent: UInt64 = 0
    /// Answers by pool and by index of the address in the pool.
    ///
    /// Nil unless ``ResponderOptions/countsAddresses`` is set. Empty for pools of more than 65,536 addresses.
    public internal(set) var byAddress: [[UInt64]]?

    init(policies: Int) { byPolicy = Array(repeating: 0, count: policies) }

    mutating func count(_ kind: Kind) { byKind[kind.rawValue] &+= 1 }

    /// Counts an answer as unsent.
    mutating func takeBack(_ answer: Responder.Answer?, _ served: ServedData) {
        unsent &+= 1
        guard let answer else { return }
        byKind[answer.kind.rawValue] &-= 1
        guard let policy = answer.policy, answer.address != nil else { return }
        byPolicy[policy] &-= 1
        if byAddress != nil { served.countAddresses(of: answer, &self, by: .max) }
    }

    /// Adds the counts of another worker, or of policies that were replaced: all but those by policy and by address, whose
    /// indices mean something else there.
    mutating func addTotals(of other: AnswerCounts) {
        for index in byKind.indices { byKind[index] &+= other.byKind[index] }
        datagrams &+= other.datagrams
        streamed &+= other.streamed
        truncated &+= other.truncated
        limited &+= other.limited
        dropped &+= other.dropped
        ignored &+= other.ignored
        unsent &+= other.unsent
    }
}
