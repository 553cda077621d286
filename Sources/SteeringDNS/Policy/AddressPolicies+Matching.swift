import AddressPools

extension AddressPolicies {
    /// Returns the index of the first policy that matches; nil if none does. ``NameCondition`` defines what matches.
    ///
    /// Like a wildcard (RFC 4592), a policy for all names, or for all names below a suffix, does not apply at or below
    /// an existing name further down. Exact names and lists always apply.
    ///
    /// - Parameters:
    ///   - name: The name of the question, or one below it.
    ///   - start: The index of the first policy to consider.
    func firstMatch(_ name: borrowing NameKeys, _ question: AddressQuestion, from start: Int = 0) -> Int? {
        var best = Int.max
        if !index.isEmpty {
            for depth in 0...question.depth {
                guard let range = index[name[depth]] else { continue }
                for number in range {
                    let entry = entries[Int(number)]
                    guard entry.rule >= start, entry.rule < best else { continue }
                    if matchesName(entry, depth, question), matches(entry.rule, name, question) {
                        best = entry.rule
                    }
                }
            }
        }
        let isOpen = question.encloserDepth == question.zoneDepth && question.encloserDepth < question.depth
        if !byClient.isEmpty { best = firstByClient(name, question, isOpen: isOpen, from: start, before: best) }
        for rule in general {
            if rule >= best { break }
            guard rule >= start else { continue }
            guard isOpen || rules[rule].isForListedNames else { continue }
            if matches(rule, name, question) { return rule }
        }
        return best == .max ? nil : best
    }

    /// Returns the first of the policies for clients that matches; `best` if none does before that.
    @inline(never)
    private func firstByClient(
        _ name: borrowing NameKeys, _ question: AddressQuestion, isOpen: Bool, from start: Int, before best: Int
    ) -> Int {
        for number in byClient.candidates(for: question.client) {
            let rule = Int(byClient.rules[number])
            if rule >= best { break }
            guard rule >= start else { continue }
            guard isOpen || rules[rule].isForListedNames else { continue }
            if matches(rule, name, question) { return rule }
        }
        return best
    }

    /// Returns whether any policy gives a name an address, of either family and for any client. The name then exists
    /// for every type.
    func givesAddresses(_ name: borrowing NameKeys, _ question: AddressQuestion) -> Bool {
        anyDecides(name, question) { if case .pool = $0 { true } else { false } }
    }

    /// Returns whether any policy with a certain outcome decides for a name, either family and any client.
    @inline(__always)
    private func anyDecides(
        _ name: borrowing NameKeys, _ question: AddressQuestion, _ isWanted: (Outcome) -> Bool
    ) -> Bool {
        var question = question.forAnyClient
        // Almost always, the first matching policy decides.
        var start = 0
        while let rule = firstMatch(name, question, from: start) {
            if isWanted(rules[rule].outcome) { return true }
            // A policy for all clients decides for its families; later policies no longer count for them.
            if rules[rule].isForAllClients { question.families.subtract(rules[rule].named) }
            start = rule + 1
        }
        return false
    }

    /// Returns the first policy that refuses a name or gives it no existence, if both address families are decided so:
    /// then it is for every type. Otherwise nil.
    func rejection(_ name: borrowing NameKeys, _ question: AddressQuestion) -> Int? {
        var question = question
        var first: Int?
        for families in [.ipv4, .ipv6] as [FamilySet] {
            question.families = families
            guard let policy = firstMatch(name, question) else { return nil }
            switch rules[policy].outcome {
            case .refuse, .nxdomain: first = min(first ?? policy, policy)
            case .pool, .pass: return nil
            }
        }
        return first
    }

    private func matchesName(_ entry: NameEntry, _ depth: Int, _ question: AddressQuestion) -> Bool {
        if depth == question.depth { return true }
        return entry.isSuffix && (depth >= question.encloserDepth || rules[entry.rule].isForListedNames)
    }

    /// Returns the number of labels of the longest explicit name, one in a list or in the `exact` names of a policy,
    /// between the closest encloser in the zone and a name. Nil if there is none.
    ///
    /// Policies for all names do not apply below it.
    @inline(__always)
    func depthOfExplicitName(above depth: Int, of name: borrowing NameKeys, from encloserDepth: Int) -> Int? {
        var depth = depth - 1
        while depth > encloserDepth {
            if isExplicit(name[depth]) { return depth }
            depth -= 1
        }
        return nil
    }

    /// Returns whether a name exists between the closest encloser in the zone and another name, because of the policies:
    /// the zone's wildcard does not apply below it (RFC 4592, section 2.2.2).
    ///
    /// It has addresses or is refused, or is an empty non-terminal. An explicit name for which policies only pass does not
    /// exist.
    func existsBetween(_ name: borrowing NameKeys, from encloserDepth: Int, zoneDepth: Int) -> Bool {
        var depth = name.depth - 1
        while depth > encloserDepth {
            if hasExplicitDescendant(name[depth]) { return true }
            if isExplicit(name[depth]) {
                let question = AddressQuestion(
                    nameClass: names.nameClass(of: name[depth]), depth: depth,
                    encloserDepth: depthOfExplicitName(above: depth, of: name, from: encloserDepth) ?? encloserDepth,
                    zoneDepth: zoneDepth)
                if anyDecides(name, question, { if case .pass = $0 { false } else { true } }) { return true }
            }
            depth -= 1
        }
        return false
    }

    private func isExplicit(_ key: NameKey) -> Bool {
        if isListed(names.nameClass(of: key)) { return true }
        return index[key]?.contains { !entries[Int($0)].isSuffix } ?? false
    }

    /// Whether names of a class are in lists of single names.
    @inline(__always)
    func isListed(_ nameClass: NameClass) -> Bool { nameClass != .unlisted && explicitClasses.contains(nameClass) }

    /// Whether the name is an empty non-terminal (RFC 8020): it exists, without records, because a policy, or a list that
    /// policies are for, has names below it.
    func hasExplicitDescendant(_ key: NameKey) -> Bool {
        existing.contains(names.nameClass(of: key))
            || (index[key]?.contains { entries[Int($0)].isAncestor && !entries[Int($0)].isPassed } ?? false)
    }

    /// Whether policies pass for names below one: those exist where the zone's wildcard applies.
    func passesBelow(_ key: NameKey) -> Bool {
        passed.contains(names.nameClass(of: key)) || (index[key]?.contains { entries[Int($0)].isPassed } ?? false)
    }

    /// Whether policies answer for names below one by a suffix. It exists then, even if an earlier policy passes for it.
    func answersBelow(_ key: NameKey) -> Bool {
        if answeredSuffixes.contains(names.nameClass(of: key)) { return true }
        return index[key]?.contains { number in
            let entry = entries[Int(number)]
            return entry.isSuffix && !entry.isAncestor && policies[entry.rule].outcome.makesNamesExist
        } ?? false
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
