import AddressPools

/// Answers queries without a socket. Random addresses depend only on the seed and the name.
struct OfflineAnswers: ~Copyable {
    /// The answer for an address of a family.
    enum Answer {
        case address(IPAddress, ttl: UInt32, policy: Int)
        /// Records of the zone.
        case records
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
    mutating func answer(_ name: Span<UInt8>, _ family: IPFamily) -> Answer {
        // Moved out for this call, so that they are not copied.
        var (message, buffer) = (message, buffer)
        (self.message, self.buffer) = ([], [])
        defer { (self.message, self.buffer) = (message, buffer) }
        message.removeAll(keepingCapacity: true)
        message += [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        for index in 0..<name.count { message.append(name[index]) }
        message += [0, family == .ipv4 ? UInt8(RecordType.A.rawValue) : UInt8(RecordType.AAAA.rawValue), 0, 1]
        var span = buffer.mutableSpan
        let reply = responder.reply(
            to: message.span, from: client, over: .tcp, at: .init(seconds: 0, milliseconds: 0), with: served,
            counting: &counts, into: &span)
        guard let answer = reply.answer else { return .nothing }
        switch answer.kind {
        case .address:
            guard let policy = answer.policy, let address = draw(policy, name, family) else { return .nothing }
            return address
        case .records: return .records
        default: return .nothing
        }
    }

    /// Draws an address again, with a generator for this name alone: another name in the list changes no other address.
    private func draw(_ policy: Int, _ name: Span<UInt8>, _ family: IPFamily) -> Answer? {
        guard case .pool(let pool, let selection, let ttl) = served.policies.outcome(of: policy) else { return nil }
        let hash = AddressPolicies.hash(of: name)
        var generator = FastGenerator(
            seed: UInt64(truncatingIfNeeded: hash >> 64) ^ seed &* 0x9E37_79B9_7F4A_7C15 ^ (family == .ipv4 ? 4 : 6))
        return served.policies.draw(
            family, from: pool, selection, name: { hash }, client: client, using: &generator
        ).map { .address($0, ttl: ttl, policy: policy) }
    }
}
