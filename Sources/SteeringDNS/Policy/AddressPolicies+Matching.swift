import AddressPools

/// What a query asks of the policies.
struct AddressQuestion {
    let nameClass: NameClass
    var families: FamilySet = [.ipv4, .ipv6]
    /// Nil where the client does not matter: whether a name exists is the same for all.
    var client: IPAddress?
    /// The number of labels of the closest encloser: the longest existing name that the name ends with.
    let encloserDepth: Int
    /// The number of labels of the zone's name.
    let zoneDepth: Int
}

extension AddressPolicies {
    /// The first policy that matches, by its number.
    ///
    /// As with wildcards (RFC 4592), what is said of all names below one does not hold below a name that exists. What
    /// is said of a name itself always holds.
    ///
    /// - Parameter start: the number of the first policy that is asked.
    func firstMatch(_ name: borrowing NameKeys, _ question: AddressQuestion, from start: Int = 0) -> Int? {
        var best = Int.max
        if !index.isEmpty {
            for depth in 0...name.depth {
                guard let range = index[name[depth]] else { continue }
                for number in range {
                    let mention = mentions[Int(number)]
                    guard mention.rule >= start, mention.rule < best else { continue }
                    if matchesName(mention, depth, name, question), matches(mention.rule, question) {
                        best = mention.rule
                    }
                }
            }
        }
        let isOpen = question.encloserDepth == question.zoneDepth && question.encloserDepth < name.depth
        for rule in general {
            if rule >= best { break }
            guard rule >= start else { continue }
            guard isOpen || rules[rule].classes != nil else { continue }
            if matches(rule, question) { return rule }
        }
        return best == .max ? nil : best
    }

    /// Whether some policy gives a name addresses, of any family and for any client. Then it exists, for every type.
    func givesAddresses(_ name: borrowing NameKeys, _ question: AddressQuestion) -> Bool {
        var question = AddressQuestion(
            nameClass: question.nameClass, encloserDepth: question.encloserDepth, zoneDepth: question.zoneDepth)
        // Nearly always the first that matches does.
        var start = 0
        while let rule = firstMatch(name, question, from: start) {
            if case .pool = rules[rule].outcome { return true }
            // What it decides for all clients, no later one does.
            if rules[rule].clients == nil { question.families.subtract(rules[rule].families) }
            start = rule + 1
        }
        return false
    }

    /// The first policy that refuses a name, if its addresses of both families are refused. Then all types are.
    func refusal(_ name: borrowing NameKeys, _ question: AddressQuestion) -> Int? {
        var question = question
        var first: Int?
        for families in [.ipv4, .ipv6] as [FamilySet] {
            question.families = families
            guard let policy = firstMatch(name, question), case .refuse = rules[policy].outcome else { return nil }
            first = min(first ?? policy, policy)
        }
        return first
    }

    private func matchesName(
        _ mention: Mention, _ depth: Int, _ name: borrowing NameKeys, _ question: AddressQuestion
    ) -> Bool {
        if depth == name.depth { return true }
        return mention.isSuffix && (depth >= question.encloserDepth || rules[mention.rule].classes != nil)
    }

    /// Whether a list has the name of a key, or a policy says it exactly: there is nothing below it that is not said
    /// itself.
    func isSaid(_ key: NameKey) -> Bool {
        if names.nameClass(of: key) > .emptyNonTerminal { return true }
        return index[key]?.contains { !mentions[Int($0)].isSuffix } ?? false
    }

    /// Whether a name exists, though it need not have anything, since policies give names below it addresses (RFC 8020):
    /// said in policies or in lists.
    func isAboveSaid(_ key: NameKey) -> Bool {
        names.nameClass(of: key) == .emptyNonTerminal
            || (index[key]?.contains { mentions[Int($0)].isBelow } ?? false)
    }

    /// What a policy does.
    @inline(__always)
    func outcome(of policy: Int) -> Outcome { rules[policy].outcome }

    @inline(__always)
    private func matches(_ number: Int, _ question: AddressQuestion) -> Bool {
        guard !rules[number].families.isDisjoint(with: question.families) else { return false }
        if let classes = rules[number].classes, !classSets[classes].contains(question.nameClass) { return false }
        if let client = question.client, let clients = rules[number].clients, !clientSets[clients].contains(client) {
            return false
        }
        return true
    }
}

extension AddressPolicies {
    /// An address of a pool; nil if it has none of the family.
    @inline(__always)
    func draw(
        _ family: IPFamily, from pool: Int, _ selection: AddressSelection, name: () -> UInt128,
        client: IPAddress, using generator: inout FastGenerator
    ) -> IPAddress? {
        let index = 2 * pool + (family == .ipv4 ? 0 : 1)
        if familyPools[index].isEmpty { return nil }
        if selection == .random, let single = familyPools[index].single {
            // A prefix has a power of two of addresses, so bits of the generator are an unbiased draw.
            var bits = UInt128(generator.next())
            if single.mask >> 64 != 0 { bits |= UInt128(generator.next()) << 64 }
            bits = single.first | bits & single.mask
            return family == .ipv4 ? IPAddress(ipv4: UInt32(truncatingIfNeeded: bits)) : IPAddress(ipv6: bits)
        }
        return rareDraw(index, selection, name: name, client: client, using: &generator)
    }

    @inline(never)
    private func rareDraw(
        _ index: Int, _ selection: AddressSelection, name: () -> UInt128, client: IPAddress,
        using generator: inout FastGenerator
    ) -> IPAddress? {
        let addresses = familyPools[index].addresses
        return switch selection {
        case .random: addresses.randomAddress(using: &generator)
        case .name: addresses.address(forHash: name())
        case .client: addresses.address(forHash: Self.hash(of: client))
        case .fixed: addresses.prefixes.first?.first
        }
    }

    /// The hash by which a name has its address: the same in all processes, whatever the case of letters.
    static func hash(of name: Span<UInt8>) -> UInt128 {
        var one = SipHash24((1, 0)), other = SipHash24((2, 0))
        var word: UInt64 = 0
        for offset in 0..<name.count {
            word |= UInt64(lowercased(name[offset])) << UInt64(8 * (offset & 7))
            guard offset & 7 == 7 else { continue }
            one.add(word)
            other.add(word)
            word = 0
        }
        let length = UInt64(name.count)
        return UInt128(one.finish(rest: word, length: length)) << 64 | UInt128(other.finish(rest: word, length: length))
    }

    /// The hash by which a client has its address: of its /24 or /56, which one client seldom leaves.
    static func hash(of client: IPAddress) -> UInt128 {
        let network = IPPrefix(masking: client, length: client.family == .ipv4 ? 24 : 56).address.bits
        let high = UInt64(truncatingIfNeeded: network >> 64), low = UInt64(truncatingIfNeeded: network)
        func hash(_ key: UInt64) -> UInt64 {
            var hash = SipHash24((key, 0))
            hash.add(high)
            hash.add(low)
            return hash.finish(rest: client.family == .ipv4 ? 4 : 6, length: 17)
        }
        return UInt128(hash(3)) << 64 | UInt128(hash(4))
    }
}
