import AddressPools

extension AddressPolicies {
    /// Returns the index of the first policy that matches; nil if none does. ``NameCondition`` defines what matches.
    ///
    /// Like a wildcard (RFC 4592), a policy for all names, or for all names below a suffix, does not apply at or below
    /// an existing name further down. Exact names and lists always apply.
    ///
    /// - Parameter start: The index of the first policy to consider.
    func firstMatch(_ name: borrowing NameKeys, _ question: AddressQuestion, from start: Int = 0) -> Int? {
        var best = Int.max
        if !index.isEmpty {
            for depth in 0...name.depth {
                guard let range = index[name[depth]] else { continue }
                for number in range {
                    let entry = entries[Int(number)]
                    guard entry.rule >= start, entry.rule < best else { continue }
                    if matchesName(entry, depth, name, question), matches(entry.rule, question) {
                        best = entry.rule
                    }
                }
            }
        }
        let isOpen = question.encloserDepth == question.zoneDepth && question.encloserDepth < name.depth
        if !byClient.isEmpty { best = firstByClient(question, isOpen: isOpen, from: start, before: best) }
        for rule in general {
            if rule >= best { break }
            guard rule >= start else { continue }
            guard isOpen || rules[rule].isForListedNames else { continue }
            if matches(rule, question) { return rule }
        }
        return best == .max ? nil : best
    }

    /// Returns the first of the policies for clients that matches; `best` if none does before that.
    @inline(never)
    private func firstByClient(_ question: AddressQuestion, isOpen: Bool, from start: Int, before best: Int) -> Int {
        for number in byClient.candidates(for: question.client) {
            let rule = Int(byClient.rules[number])
            if rule >= best { break }
            guard rule >= start else { continue }
            guard isOpen || rules[rule].isForListedNames else { continue }
            if matches(rule, question) { return rule }
        }
        return best
    }

    /// Returns whether any policy gives a name an address, of either family and for any client. The name then exists
    /// for every type.
    func givesAddresses(_ name: borrowing NameKeys, _ question: AddressQuestion) -> Bool {
        var question = question.forAnyClient
        // Almost always, the first matching policy decides.
        var start = 0
        while let rule = firstMatch(name, question, from: start) {
            if case .pool = rules[rule].outcome { return true }
            // A policy for all clients decides for its families; later policies no longer count for them.
            if rules[rule].isForAllClients { question.families.subtract(rules[rule].named) }
            start = rule + 1
        }
        return false
    }

    /// Returns the first policy that refuses a name, if it is refused for both address families: then it is for every
    /// type. Otherwise nil.
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
        _ entry: NameEntry, _ depth: Int, _ name: borrowing NameKeys, _ question: AddressQuestion
    ) -> Bool {
        if depth == name.depth { return true }
        return entry.isSuffix && (depth >= question.encloserDepth || rules[entry.rule].isForListedNames)
    }

    /// Whether the name is explicit: in a list or in the `exact` names of a policy. Names below an explicit name exist
    /// only if they are explicit themselves.
    func isExplicit(_ key: NameKey) -> Bool {
        if isListed(names.nameClass(of: key)) { return true }
        return index[key]?.contains { !entries[Int($0)].isSuffix } ?? false
    }

    /// Returns the number of labels of the longest explicit name between the closest encloser in the zone and the name
    /// itself; that name is then the closest encloser. Nil if there is none.
    @inline(__always)
    func depthOfExplicitName(above name: borrowing NameKeys, from encloserDepth: Int) -> Int? {
        var depth = name.depth - 1
        while depth > encloserDepth {
            if isExplicit(name[depth]) { return depth }
            depth -= 1
        }
        return nil
    }

    /// Whether names of a class are in lists.
    @inline(__always)
    func isListed(_ nameClass: NameClass) -> Bool { nameClass != .unlisted && nameClass <= lastListedClass }

    /// Whether the name is an empty non-terminal (RFC 8020): it exists, without records, because a policy, or a list that
    /// policies are for, has names below it.
    func hasExplicitDescendant(_ key: NameKey) -> Bool {
        existingBelow.contains(NameClass.max - names.nameClass(of: key))
            || (index[key]?.contains { entries[Int($0)].isBelow } ?? false)
    }

    /// The outcome of a policy.
    @inline(__always)
    func outcome(of policy: Int) -> Outcome { rules[policy].outcome }
}

extension AddressPolicies {
    /// Draws an address from a pool; nil if the pool has none of the family.
    @inline(__always)
    func draw(
        _ family: IPFamily, from pool: Int, _ selection: AddressSelection, name: () -> UInt128,
        client: IPAddress, using generator: inout FastGenerator
    ) -> IPAddress? {
        let index = 2 * pool + (family == .ipv4 ? 0 : 1)
        if familyPools[index].isEmpty { return nil }
        if selection == .random, let single = familyPools[index].single {
            // A prefix has a power of two of addresses, so masked random bits are unbiased.
            var bits = UInt128(generator.next())
            if single.mask >> 64 != 0 { bits |= UInt128(generator.next()) << 64 }
            bits = single.first | bits & single.mask
            return family == .ipv4 ? IPAddress(ipv4: UInt32(truncatingIfNeeded: bits)) : IPAddress(ipv6: bits)
        }
        return rareDraw(index, selection, name: name, client: client, using: &generator)
    }

    /// Draws several distinct addresses: the same for the same seed.
    func draws(_ family: IPFamily, for policy: Int, seed: UInt64) -> DistinctDraws? {
        guard case .pool(let pool, let selection, _) = rules[policy].outcome else { return nil }
        return DistinctDraws(
            rules[policy].answers, of: familyPools[2 * pool + (family == .ipv4 ? 0 : 1)].addresses,
            from: selection == .fixed ? .first : .generator(FastGenerator(seed: seed)))
    }

    /// Returns the seed of ``draws(_:for:seed:)`` for an answer.
    static func seed(
        _ selection: AddressSelection, name: () -> UInt128, client: IPAddress,
        using generator: inout FastGenerator
    ) -> UInt64 {
        switch selection {
        case .random: generator.next()
        case .name: UInt64(truncatingIfNeeded: name() >> 64)
        case .client: UInt64(truncatingIfNeeded: hash(of: client) >> 64)
        case .fixed: 0
        }
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

    /// The hash behind ``AddressSelection/name``: the same in every process, and case-insensitive.
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

    /// The hash behind ``AddressSelection/client``: of the client's /24 or /56, which a client seldom leaves.
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
