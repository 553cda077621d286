import AddressPools

/// Answers queries without a socket. Random addresses depend only on the seed and the name.
struct OfflineAnswers: ~Copyable {
    /// The answer for a name and a type.
    enum Answer: Equatable {
        /// Addresses of a policy's pool.
        case addresses(policy: Int)
        /// Records of the zone.
        case records
        /// The name exists.
        case noData
        /// The name does not exist, or is refused.
        case nothing
    }

    let served: ServedData
    private let client: IPAddress
    private let seed: UInt64
    private var responder: Responder
    private var counts: AnswerCounts
    private var message: [UInt8] = []
    private var buffer = [UInt8](repeating: 0, count: Responder.maximumMessage)

    init(_ served: ServedData, client: IPAddress, seed: UInt64) {
        self.served = served
        self.client = client
        self.seed = seed
        var options = ResponderOptions()
        options.limitsResponses = false
        responder = Responder(options)
        counts = served.counts()
    }

    /// Returns the answer for a name in wire form.
    mutating func answer(_ name: Span<UInt8>, _ type: RecordType) -> Answer {
        // Moved out for this call, so that they are not copied.
        var (message, buffer) = (message, buffer)
        (self.message, self.buffer) = ([], [])
        defer { (self.message, self.buffer) = (message, buffer) }
        message.removeAll(keepingCapacity: true)
        message += [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        for index in 0..<name.count { message.append(name[index]) }
        message += [UInt8(type.rawValue >> 8), UInt8(truncatingIfNeeded: type.rawValue), 0, 1]
        var span = buffer.mutableSpan
        let reply = responder.reply(
            to: message.span, from: client, over: .tcp, at: .init(seconds: 0, milliseconds: 0), with: served,
            counting: &counts, into: &span)
        switch reply.answer?.kind {
        case .address: return reply.answer?.policy.map { .addresses(policy: $0) } ?? .nothing
        case .records: return .records
        case .noData: return .noData
        default: return .nothing
        }
    }

    /// Draws the addresses of a name, with a generator for this name alone: another name in the list changes no other
    /// address.
    func draw(
        _ policy: Int, _ name: Span<UInt8>, _ family: IPFamily,
        _ body: (IPAddress, _ ttl: UInt32) throws -> Void
    ) throws {
        let policies = served.policies
        guard case .pool(let pool, let selection, let ttl) = policies.outcome(of: policy) else { return }
        let hash = AddressPolicies.hash(of: name)
        var generator = FastGenerator(
            seed: UInt64(truncatingIfNeeded: hash >> 64) ^ seed &* 0x9E37_79B9_7F4A_7C15 ^ (family == .ipv4 ? 4 : 6))
        guard policies.rules[policy].answers > 1 else {
            let address = policies.draw(
                family, from: pool, selection, name: { hash }, client: client, using: &generator)
            if let address { try body(address, ttl) }
            return
        }
        let seed = AddressPolicies.seed(selection, name: { hash }, client: client, using: &generator)
        guard var draws = policies.draws(family, for: policy, seed: seed) else { return }
        while let address = draws.next() { try body(address, ttl) }
    }
}
