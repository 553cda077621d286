/// Findings about routes: only packets that the kernel delivers to this host are steered.
extension Doctor {
    func routes(_ policy: Policy, _ answered: [String: PrefixPool]) throws(SteeringError) -> [Finding] {
        // A very short prefix matches whatever arrives, and need not be routed here as a whole.
        let prefixes = Set(policy.bindings.lazy.filter { $0.outcome != .pass }.map(\.prefix)).filter {
            $0.length >= ($0.family == .ipv4 ? 8 : 16)
        }
        let bound = PrefixPool(prefixes).subtracting(PrefixPool(IPAddress.groups))
        // An address that is both bound and in DNS answers is reported as bound.
        let answers = answered.values.reduce(PrefixPool()) { $0.union($1) }.subtracting(bound)
        struct Environment: Sendable {
            var bound, answers: LocalDelivery
            var peers: Set<IPAddress>
            var strict: [String]
            var bindsNonlocal: Bool
        }
        let looked = try? namespace.run { () throws(SteeringError) in
            let delivery = (try LocalRoutes().delivery(of: bound), try LocalRoutes().delivery(of: answers))
            let isComplete = delivery.0.isComplete && delivery.1.isComplete
            return Environment(
                bound: delivery.0, answers: delivery.1, peers: isComplete ? [] : try SocketDiagnostics().peers(),
                strict: HostFacts.interfaces.filter { $0 != "lo" && HostFacts.reversePathFilter($0) == 1 },
                bindsNonlocal: HostFacts.sysctl("net.ipv4.ip_nonlocal_bind") == "1")
        }
        guard let looked else { return [] }
        let unrouted = undelivered(bound, looked.bound, looked.peers, "bound")
        var findings = unrouted + undelivered(answers, looked.answers, looked.peers, "returned in answers")
        if unrouted.contains(where: { $0.severity == .warning }), !looked.bindsNonlocal {
            findings.append(
                Finding(
                    .note, "nonlocal_bind",
                    "bind(2) to an address that is not routed here, to answer UDP from it, fails, too",
                    remedy: place.sysctl(
                        .bindNonlocal, ["net.ipv4.ip_nonlocal_bind=1", "net.ipv6.ip_nonlocal_bind=1"])))
        }
        if prefixes.contains(where: { $0.family == .ipv4 }), !looked.strict.isEmpty {
            let settings = looked.strict.map { "net.ipv4.conf.\($0.replacing(".", with: "/")).rp_filter=2" }
            findings.append(
                Finding(
                    .note, "rp_filter",
                    "\(looked.strict.joined(separator: ", ")) drops packets whose answer would leave by another interface, before steering sees them",
                    remedy: place.sysctl(.filterLoosely, settings)))
        }
        return findings
    }

    /// Returns a sentence about a prefix of a pool that is not delivered to this host, with the remedy; nil if all are.
    ///
    /// - Throws: `systemCall`; `missingCapability` if the namespace may not be entered.
    package func unrouted(in pool: PrefixPool) throws(SteeringError) -> String? {
        let (delivery, peers) = try namespace.run { () throws(SteeringError) in
            (try LocalRoutes().delivery(of: pool), try SocketDiagnostics().peers())
        }
        guard let found = undelivered(pool, delivery, peers, "to be returned in answers").first else { return nil }
        return found.message + (found.remedy.map { ": \($0)" } ?? "")
    }

    private func undelivered(
        _ pool: PrefixPool, _ delivery: LocalDelivery, _ peers: Set<IPAddress>, _ what: String
    ) -> [Finding] {
        // `remarks(on:)` reports broadcast addresses.
        let missing = pool.prefixes.filter { !delivery.isNeverAsked(about: $0) }
            .compactMap { delivery.undelivered(in: $0) }
        return Self.shortened(missing, "routes") { finding($0, delivery, peers, what) }
    }

    private func finding(
        _ part: PrefixPool, _ delivery: LocalDelivery, _ peers: Set<IPAddress>, _ what: String
    ) -> Finding {
        let span = IPPrefix.spanning(part)
        let isWhole = part.prefixes == [span]
        let subject =
            isWhole ? "\(span) is \(what), but" : "of \(span), which is \(what), \(part.count) addresses are"
        if delivery.isOnLink(part) {
            return Finding(
                .note, "routes",
                isWhole
                    ? "\(subject) on a link of this host and not its own: packets to it do not get here"
                    : "\(subject) on a link of this host and not its own: packets to them do not get here")
        }
        let problem =
            isWhole
            ? "\(subject) not routed to this host: its packets do not get here"
            : "\(subject) not routed to this host, such as \(part.prefixes[0].first): their packets do not get here"
        return Finding(
            .warning, "routes",
            problem + (delivery.obstacle(to: span, peers).map { ". \($0)" } ?? ""),
            remedy: delivery.obstacle(to: span, peers) == nil ? place.routeHere(span) : nil)
    }
}

extension LocalDelivery {
    /// Returns the reason why a prefix should not be routed to this host as a whole; nil if there is none.
    func obstacle(to prefix: IPPrefix, _ peers: Set<IPAddress>) -> String? {
        if let other = others.first(where: { $0.overlaps(prefix) }) {
            return "Routing it to this host would hide the route \(other): route only the parts needed"
        }
        if let peer = peers.first(where: { prefix.contains($0) && !local.contains($0) }) {
            return "Routing it to this host would break the connection with \(peer): route only the parts needed"
        }
        return nil
    }
}
