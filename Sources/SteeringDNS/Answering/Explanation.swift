import AddressPools

/// The answer to a query, with the policy that decides it and the reasons.
public struct NameExplanation: Sendable, CustomStringConvertible {
    /// The name and the type that were queried.
    public let name: DNSName, type: RecordType
    /// The name of the policy that decides; nil if the zone answers.
    public private(set) var policy: String?
    /// The pool of the address, the way it is selected, and the TTL in seconds; nil if no pool answers.
    public private(set) var pool: (name: String, addresses: PrefixPool)?, selection: AddressSelection?, ttl: UInt32?
    /// The number of addresses in an answer, if the pool has so many.
    public private(set) var answers = 1
    /// A short description of the answer.
    public private(set) var answer = ""
    /// The findings along the way, one phrase each.
    public private(set) var reasons: [String] = []
    /// The addresses that ten queries in a row would get; empty if the answer is not an address. If an answer has
    /// several, all those of one query.
    public fileprivate(set) var draws: [IPAddress] = []

    /// A report of several lines.
    public var description: String {
        var lines = ["\(name) \(type): \(answer)"]
        if let policy { lines.append("  policy     \(policy)") }
        if let pool, let selection, let ttl {
            lines.append("  pool       \(pool.name): \(pool.addresses), \(pool.addresses.count) addresses")
            lines.append("  selection  \(selection), \(answers > 1 ? "\(answers) addresses, " : "")TTL \(ttl) s")
        }
        for reason in reasons { lines.append("  because    \(reason)") }
        if !draws.isEmpty { lines.append("  draws      \(draws.map(\.description).joined(separator: " "))") }
        return lines.joined(separator: "\n")
    }
}

extension ServedData {
    /// The origins of the zones.
    public var origins: [DNSName] { zones.zones.map(\.origin) }

    /// Explains the answer to a query by answering it, without a socket.
    ///
    /// - Parameters:
    ///   - name: The name to query.
    ///   - type: The record type to query.
    ///   - client: The client's address. If nil, 0.0.0.0 is used, which only client prefixes such as 0.0.0.0/0 contain.
    /// - Returns: The answer, the policy that decides, and why earlier policies do not match.
    public func explain(_ name: DNSName, _ type: RecordType, from client: IPAddress? = nil) -> NameExplanation {
        let client = client ?? IPAddress(ipv4: 0)
        var explanation = NameExplanation(name: name, type: type)
        var options = ResponderOptions()
        options.limitsResponses = false
        var responder = Responder(options)
        let message = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name.wire + bytes(type.rawValue) + [0, 1]
        var buffer = [UInt8](repeating: 0, count: Responder.maximumMessage)
        for index in 0..<10 {
            var counts = counts()
            var span = buffer.mutableSpan
            let reply = responder.reply(
                to: message.span, from: client, over: .tcp, at: .init(seconds: 0, milliseconds: 0), with: self,
                counting: &counts, into: &span)
            guard let answer = reply.answer else { break }
            if index == 0 { explanation.explain(answer, self, client) }
            guard let policy = answer.policy, answer.address != nil else { break }
            forEachAddress(of: answer) { explanation.draws.append($0) }
            if policies.rules[policy].answers > 1 { break }
        }
        return explanation
    }

    private func bytes(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(truncatingIfNeeded: number)] }
}

extension NameExplanation {
    fileprivate mutating func explain(_ answer: Responder.Answer, _ served: ServedData, _ client: IPAddress) {
        var keys = NameKeys()
        keys.read(name.wire.span, at: 0)
        switch answer.kind {
        case .address: self.answer = "an address"
        case .records: self.answer = "records of the zone"
        case .noData: self.answer = "no record of this type (NOERROR)"
        case .nameError: self.answer = "no such name (NXDOMAIN)"
        case .referral: self.answer = "the servers that the zone delegates to"
        case .refused: self.answer = "refused (REFUSED)"
        case .formatError, .notImplemented, .server: self.answer = "an error (code \(answer.code.rawValue))"
        }
        guard let encloser = served.zones.encloser(of: keys) else {
            reasons.append("no zone has the name")
            return
        }
        let node = served.zones.nodes[encloser]
        reasons.append("it lies in the zone \(served.zones.zones[node.zone].origin)")
        if node.depth == keys.depth, !node.sets.isEmpty {
            reasons.append("the zone file has the name, so only policies that list it exactly apply")
        } else if node.depth > served.zones.zones[node.zone].depth {
            reasons.append(
                "the zone file has \(node.name), so only policies that list the name, or a suffix at or below that, apply"
            )
        }
        if let policy = answer.policy {
            let decided = served.policies.policies[policy]
            self.policy = decided.name
            if case .pool(let name, let selection, let ttl) = decided.outcome {
                pool = served.policies.pools.first { $0.name == name }
                self.selection = selection
                self.ttl = ttl
                answers = decided.answers
            }
        }
        explainPolicies(served, keys, client, until: answer.policy)
    }

    /// Adds the reasons why the policies before the one that decides do not match.
    private mutating func explainPolicies(
        _ served: ServedData, _ keys: borrowing NameKeys, _ client: IPAddress, until decided: Int?
    ) {
        let question = AddressQuestion(
            nameClass: served.policies.names.nameClass(of: keys.last),
            families: type == .A ? .ipv4 : type == .AAAA ? .ipv6 : [.ipv4, .ipv6], client: client, depth: keys.depth,
            encloserDepth: 0, zoneDepth: 0)
        for (number, policy) in served.policies.policies.enumerated() {
            if number == decided {
                reasons.append("\(policy.name) matches")
                return
            }
            guard let condition = served.policies.mismatch(number, name, question) else { continue }
            let reason =
                condition == .types && served.policies.isDrained(number, question)
                ? "all addresses of its pool are drained" : condition.mismatch(policy)
            reasons.append("\(policy.name) does not match: \(reason)")
        }
    }
}
