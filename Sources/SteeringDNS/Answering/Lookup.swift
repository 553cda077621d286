import AddressPools

/// Looks up the records that answer a question, in the zones and by the policies, and writes them.
///
/// The zone answers for names that exist in it and, by the closest encloser (RFC 4592), for names below those, except
/// names that are explicit in policies. Policies answer for all other names in a zone; names without a match fall back
/// to the zone's wildcards.
struct Lookup: ~Copyable {
    private var keys = NameKeys()
    /// The keys of the next question's name, read ahead.
    var nextKeys = NameKeys()
    private var generator: FastGenerator

    /// The longest chain of CNAME records that is followed.
    private static let longestChain = 8

    init(_ generator: FastGenerator) { self.generator = generator }

    /// The name being looked up. Without references, since each query would pay for reference counting.
    private struct Subject {
        /// The offset of the name in the message.
        var offset = Query.nameOffset
        /// The node whose CNAME led to the name; nil for the name in the question.
        var alias: Int?
    }

    /// Answers the question that `advance` made the current one.
    mutating func answer(
        _ type: RecordType, _ message: Span<UInt8>, client: IPAddress, _ served: ServedData,
        _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Responder.Answer {
        switch step(Subject(), type, message, client, served, &writer, &buffer) {
        case .done(let answer): return answer
        case .alias(let node, let offset):
            return follow(node, offset, type, message, client, served, &writer, &buffer)
        }
    }

    /// Follows a CNAME chain to its end.
    private mutating func follow(
        _ node: Int, _ offset: Int, _ type: RecordType, _ message: Span<UInt8>, _ client: IPAddress,
        _ served: ServedData, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Responder.Answer {
        // The AA flag describes the first name of the chain, the response code the last.
        var result = Responder.Answer(code: .noError, kind: .records, isAuthoritative: true)
        var subject = Subject(offset: offset, alias: node)
        var passed: [NameKey] = []
        for _ in 0..<Self.longestChain {
            passed.append(keys.last)
            keys.read(served.zones.target(ofAlias: subject.alias!).wire.span, at: 0)
            // A loop: the chain has no end.
            if passed.contains(keys.last) { break }
            switch step(subject, type, message, client, served, &writer, &buffer) {
            case .done(let answer):
                result.code = answer.code == .refused ? .noError : answer.code
                if answer.policy != nil {
                    (result.policy, result.address, result.seed) = (answer.policy, answer.address, answer.seed)
                }
                return result
            case .alias(let node, let offset): subject = Subject(offset: offset, alias: node)
            }
        }
        return result
    }

    /// Makes the name that was read ahead the current one.
    @inline(__always)
    mutating func advance() { swap(&keys, &nextKeys) }

    enum Step {
        case done(Responder.Answer)
        /// Continue with the target of a node's CNAME, which is at an offset in the message.
        case alias(Int, Int)
    }

    private mutating func step(
        _ subject: Subject, _ type: RecordType, _ message: Span<UInt8>, _ client: IPAddress, _ served: ServedData,
        _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Step {
        // Looked up before it is needed: with millions of names, this is a cache miss.
        let nameClass = served.policies.names.nameClass(of: keys.last)
        guard let encloser = served.zones.encloser(of: keys) else {
            return .done(Responder.Answer(code: .refused, kind: .refused))
        }
        let facts = served.zones.facts[encloser]
        let exists = facts.depth == keys.depth
        if facts.cut != nil || exists && facts.hasRecords {
            let place = place(encloser, subject, served)
            if let cut = facts.cut, !(cut == encloser && exists && type == .DS) {
                place.refer(cut, at: offset(ofDepth: served.zones.facts[cut].depth, subject), &writer, &buffer)
                return .done(Responder.Answer(code: .noError, kind: .referral))
            }
            if let step = place.answer(type, of: encloser, &writer, &buffer) { return step }
        }

        let explicitDepth = served.policies.depthOfExplicitName(above: keys, from: facts.depth)
        let question = AddressQuestion(
            nameClass: nameClass, client: client, encloserDepth: explicitDepth ?? facts.depth,
            zoneDepth: facts.zoneDepth)
        var isKnown = false
        switch ask(type, question, subject, message, served, &writer, &buffer) {
        case .answer(let answer): return .done(answer)
        case .exists(let policy):
            let place = place(encloser, subject, served)
            // A name that a policy answers has the other types of the zone's wildcard.
            if !exists, let wildcard = facts.wildcard, type != .A, type != .AAAA,
                let answer = place.answerBesideAddresses(type, of: wildcard, &writer, &buffer)
            {
                return .done(answer)
            }
            var answer = place.noData(&writer, &buffer)
            answer.policy = policy
            return .done(answer)
        case .passed(let known): isKnown = known
        case .unknown: break
        }
        let place = place(encloser, subject, served)
        if exists || served.policies.hasExplicitDescendant(keys.last) { return .done(place.noData(&writer, &buffer)) }
        if let wildcard = facts.wildcard, explicitDepth == nil, !isBelowEmptyNonTerminal(served, from: facts.depth) {
            if let step = place.answer(type, of: wildcard, &writer, &buffer) { return step }
            return .done(place.noData(&writer, &buffer))
        }
        return .done(isKnown ? place.noData(&writer, &buffer) : place.nameError(&writer, &buffer))
    }

    /// The decision of the policies.
    private enum PolicyDecision {
        case answer(Responder.Answer)
        /// The name exists, but has no address of this type. The policy, if any, is one whose pool has none of the
        /// family.
        case exists(policy: Int?)
        /// A policy leaves the query to the zone. The name is known if another family or another client may get an
        /// address: then it exists.
        case passed(isKnown: Bool)
        /// No policy gives the name an address.
        case unknown
    }

    @inline(__always)
    private mutating func ask(
        _ type: RecordType, _ question: AddressQuestion, _ subject: Subject, _ message: Span<UInt8>,
        _ served: ServedData, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> PolicyDecision {
        let policies = served.policies
        guard type == .A || type == .AAAA else {
            if let policy = policies.refusal(keys, question) { return Self.refused(by: policy) }
            guard policies.givesAddresses(keys, question) else { return .unknown }
            guard type == .ANY else { return .exists(policy: nil) }
            writer.addAnyRecord(&buffer)
            return .answer(Responder.Answer(code: .noError, kind: .records, isAuthoritative: true))
        }
        let family: IPFamily = type == .A ? .ipv4 : .ipv6
        var question = question
        question.families = type == .A ? .ipv4 : .ipv6
        guard let policy = policies.firstMatch(keys, question) else {
            // The name exists if another family or another client gets an address.
            return policies.givesAddresses(keys, question) ? .exists(policy: nil) : .unknown
        }
        switch policies.outcome(of: policy) {
        case .pool(let pool, let selection, let ttl):
            if policies.rules[policy].answers > 1 {
                return addSeveral(policy, family, question, subject, message, served, &writer, &buffer)
            }
            let address = policies.draw(
                family, from: pool, selection, name: { Self.nameHash(subject, message, served) },
                client: question.client!,
                using: &generator)
            guard let address else { return .exists(policy: policy) }
            writer.add(address, of: subject.offset, ttl: ttl, &buffer)
            var answer = Responder.Answer(code: .noError, kind: .address, isAuthoritative: true)
            (answer.policy, answer.address) = (policy, address)
            return .answer(answer)
        case .refuse: return Self.refused(by: policy)
        case .pass: return .passed(isKnown: policies.givesAddresses(keys, question))
        }
    }

    /// Writes several distinct addresses of a policy's pool.
    @inline(never)
    private mutating func addSeveral(
        _ policy: Int, _ family: IPFamily, _ question: AddressQuestion, _ subject: Subject, _ message: Span<UInt8>,
        _ served: ServedData, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> PolicyDecision {
        let policies = served.policies
        guard case .pool(_, let selection, let ttl) = policies.outcome(of: policy) else { return .unknown }
        let seed = AddressPolicies.seed(
            selection, name: { Self.nameHash(subject, message, served) }, client: question.client!, using: &generator)
        var answer = Responder.Answer(code: .noError, kind: .address, isAuthoritative: true)
        (answer.policy, answer.seed) = (policy, seed)
        guard var draws = policies.draws(family, for: policy, seed: seed) else { return .unknown }
        while let address = draws.next() {
            writer.add(address, of: subject.offset, ttl: ttl, &buffer)
            if answer.address == nil { answer.address = address }
        }
        return answer.address == nil ? .exists(policy: policy) : .answer(answer)
    }

    private static func refused(by policy: Int) -> PolicyDecision {
        .answer(Responder.Answer(code: .refused, kind: .refused, policy: policy))
    }

    /// Whether an empty non-terminal of the policies lies between the closest encloser in the zone and the name: the
    /// zone's wildcard does not apply below it (RFC 4592, section 2.2.2).
    private func isBelowEmptyNonTerminal(_ served: ServedData, from encloserDepth: Int) -> Bool {
        var depth = keys.depth - 1
        while depth > encloserDepth {
            if served.policies.hasExplicitDescendant(keys[depth]) { return true }
            depth -= 1
        }
        return false
    }

    private func place(_ node: Int, _ subject: Subject, _ served: ServedData) -> ZoneAnswer {
        let facts = served.zones.facts[node]
        return ZoneAnswer(
            zones: served.zones, zone: facts.zone, origin: offset(ofDepth: facts.zoneDepth, subject),
            owner: subject.offset)
    }

    private static func nameHash(_ subject: Subject, _ message: Span<UInt8>, _ served: ServedData) -> UInt128 {
        if let alias = subject.alias {
            return AddressPolicies.hash(of: served.zones.target(ofAlias: alias).wire.span)
        }
        var end = subject.offset
        while message[end] != 0 { end += 1 + Int(message[end]) }
        return AddressPolicies.hash(of: message.extracting(subject.offset...end))
    }

    /// Returns the offset in the message of the ancestor with a number of labels.
    ///
    /// For the target of an alias, this counts from the start of its name, which may be compressed: only labels before
    /// its compression pointer can be pointed to.
    private func offset(ofDepth depth: Int, _ subject: Subject) -> Int {
        subject.alias == nil ? keys.offset(ofDepth: depth) : subject.offset + keys.offset(ofDepth: depth)
    }
}
