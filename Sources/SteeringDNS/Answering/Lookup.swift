import AddressPools

/// Looks up the records that answer a question, in the zones and by the policies, and writes them.
///
/// The zone answers for names that exist in it and, by the closest encloser (RFC 4592), for names below those, except
/// names that are explicit in policies. Policies answer for all other names in a zone; names without a match fall back
/// to the zone's wildcards.
struct Lookup: ~Copyable {
    var keys = NameKeys()
    /// The keys of the next question's name, read ahead.
    var nextKeys = NameKeys()
    private var generator: FastGenerator

    /// The name to which the last alias leads.
    var target = DNSName.root
    /// Whether to find out if the answer depends on the client, and whether it does.
    private var watchesClient = false
    private(set) var dependsOnClient = false

    /// The longest chain of aliases that is followed.
    private static let longestChain = 8

    init(_ generator: FastGenerator) { self.generator = generator }

    /// The name being looked up. Without references, since each query would pay for reference counting.
    struct Subject {
        /// The offset of the name in the message.
        var offset = Query.nameOffset
        /// What offsets in `keys` count from: the message, or the target of the alias.
        var base: Int { hash == nil ? 0 : offset }
        /// For the target of an alias, ``AddressPolicies/hash(of:)``; nil for the name in the question.
        var hash: UInt128?
        /// For the target of an alias, the number of bytes before its compression pointer, and where that leads to.
        var pointer: (begin: Int, target: Int) = (.max, 0)
    }

    /// Answers the question that `advance` made the current one.
    ///
    /// - Parameter watchesClient: Whether to set ``dependsOnClient``.
    mutating func answer(
        _ type: RecordType, _ message: Span<UInt8>, client: IPAddress, watchesClient: Bool, _ served: ServedData,
        _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Responder.Answer {
        self.watchesClient = watchesClient
        switch step(Subject(), type, message, client, served, &writer, &buffer) {
        case .done(let answer): return answer
        case .follow(let target): return follow(target, type, message, client, served, &writer, &buffer)
        }
    }

    /// Follows a chain of aliases to its end.
    private mutating func follow(
        _ first: Subject, _ type: RecordType, _ message: Span<UInt8>, _ client: IPAddress,
        _ served: ServedData, _ writer: inout MessageWriter, _ buffer: inout MutableSpan<UInt8>
    ) -> Responder.Answer {
        // The AA flag describes the first name of the chain, the response code the last.
        var result = Responder.Answer(code: .noError, kind: .records, isAuthoritative: true)
        var subject = first
        var passed: [NameKey] = []
        for _ in 0..<Self.longestChain {
            passed.append(keys.last)
            let name = target
            keys.read(name.wire.span, at: 0)
            // A loop: the chain has no end.
            if passed.contains(keys.last) { break }
            switch step(subject, type, message, client, served, &writer, &buffer) {
            case .done(let answer):
                result.code = answer.code == .refused ? .noError : answer.code
                if answer.isNegative { dependsOnClient = false }
                if answer.policy != nil {
                    (result.policy, result.address, result.seed) = (answer.policy, answer.address, answer.seed)
                }
                return result
            case .follow(let next): subject = next
            }
        }
        return result
    }

    /// Makes the name that was read ahead the current one.
    @inline(__always)
    mutating func advance() {
        swap(&keys, &nextKeys)
        dependsOnClient = false
    }

    enum Step {
        case done(Responder.Answer)
        /// Continue with `target`.
        case follow(Subject)
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
        if facts.hides(keys.depth) || exists && facts.hasRecords {
            if type == .DS, exists, facts.depth == facts.zoneDepth,
                let answer = answerAbove(facts.zone, subject, served, &writer, &buffer)
            {
                return .done(answer)
            }
            let place = place(encloser, subject, served)
            if let cut = facts.cut, !(cut == encloser && exists && type == .DS) {
                let owner = offset(ofDepth: served.zones.facts[cut].depth, subject)
                return .done(place.refer(cut, at: owner, &writer, &buffer))
            }
            if !exists { return redirect(encloser, type, subject, message, served, &writer, &buffer) }
            if let result = place.answer(type, of: encloser, &writer, &buffer) {
                return step(after: result, place, served)
            }
        }

        let explicitDepth = served.policies.depthOfExplicitName(
            above: keys.depth, of: keys, from: facts.depth)
        let question = AddressQuestion(
            nameClass: nameClass, client: client, depth: keys.depth, encloserDepth: explicitDepth ?? facts.depth,
            zoneDepth: facts.zoneDepth)
        if watchesClient { dependsOnClient = served.policies.dependsOnClient(keys, question) }
        var isPassedKnown = false
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
        case .absent(let policy):
            let place = place(encloser, subject, served)
            let isKnown =
                exists || served.policies.hasExplicitDescendant(keys.last) || served.policies.answersBelow(keys.last)
                || served.policies.givesAddresses(keys, question)
                || facts.wildcard != nil
                    && (served.policies.rejection(keys, question) == nil || served.policies.passesBelow(keys.last))
                    && !served.policies.existsBetween(keys, from: facts.depth, zoneDepth: facts.zoneDepth)
            var answer = isKnown ? place.noData(&writer, &buffer) : place.nameError(&writer, &buffer)
            answer.policy = policy
            return .done(answer)
        case .passed(let isKnown): isPassedKnown = isKnown
        case .unknown: break
        }
        let place = place(encloser, subject, served)
        if exists || served.policies.hasExplicitDescendant(keys.last) { return .done(place.noData(&writer, &buffer)) }
        if let wildcard = facts.wildcard,
            !served.policies.existsBetween(keys, from: facts.depth, zoneDepth: facts.zoneDepth)
        {
            if let result = place.answer(type, of: wildcard, &writer, &buffer) {
                return step(after: result, place, served)
            }
            return .done(place.noData(&writer, &buffer))
        }
        let isKnown = isPassedKnown || served.policies.answersBelow(keys.last)
        return .done(isKnown ? place.noData(&writer, &buffer) : place.nameError(&writer, &buffer))
    }

    /// The decision of the policies.
    private enum PolicyDecision {
        case answer(Responder.Answer)
        /// The name exists, but has no address of this type. The policy, if any, is one whose pool has none of the
        /// family.
        case exists(policy: Int?)
        /// A policy gives the name no existence. It exists all the same if it has something in the zone, or for another family or
        /// client.
        case absent(policy: Int)
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
            if let policy = policies.rejection(keys, question) { return Self.rejected(policies, by: policy) }
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
                family, from: pool, selection, name: { subject.hash ?? Self.hash(ofNameAt: subject.offset, message) },
                client: question.client!,
                using: &generator)
            guard let address else { return .exists(policy: policy) }
            writer.add(address, of: subject.offset, ttl: ttl, &buffer)
            var answer = Responder.Answer(code: .noError, kind: .address, isAuthoritative: true)
            (answer.policy, answer.address) = (policy, address)
            return .answer(answer)
        case .refuse, .nxdomain: return Self.rejected(policies, by: policy)
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
            selection, name: { subject.hash ?? Self.hash(ofNameAt: subject.offset, message) },
            client: question.client!, using: &generator)
        var answer = Responder.Answer(code: .noError, kind: .address, isAuthoritative: true)
        (answer.policy, answer.seed) = (policy, seed)
        guard var draws = policies.draws(family, for: policy, seed: seed) else { return .unknown }
        while let address = draws.next() {
            writer.add(address, of: subject.offset, ttl: ttl, &buffer)
            if answer.address == nil { answer.address = address }
        }
        return answer.address == nil ? .exists(policy: policy) : .answer(answer)
    }

    private static func rejected(_ policies: AddressPolicies, by policy: Int) -> PolicyDecision {
        if case .nxdomain = policies.outcome(of: policy) { return .absent(policy: policy) }
        return .answer(Responder.Answer(code: .refused, kind: .refused, policy: policy))
    }

    func place(_ node: Int, _ subject: Subject, _ served: ServedData) -> ZoneAnswer {
        let facts = served.zones.facts[node]
        return ZoneAnswer(
            zones: served.zones, zone: facts.zone, origin: offset(ofDepth: facts.zoneDepth, subject),
            owner: subject.offset)
    }

    private static func hash(ofNameAt offset: Int, _ message: Span<UInt8>) -> UInt128 {
        var end = offset
        while message[end] != 0 { end += 1 + Int(message[end]) }
        return AddressPolicies.hash(of: message.extracting(offset...end))
    }

    /// Returns the offset in the message of the ancestor with a number of labels.
    func offset(ofDepth depth: Int, _ subject: Subject) -> Int {
        let offset = keys.offset(ofDepth: depth)
        guard offset >= subject.pointer.begin else { return subject.base + offset }
        return subject.pointer.target + offset - subject.pointer.begin
    }
}
