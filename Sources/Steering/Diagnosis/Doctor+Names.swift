extension Doctor {
    /// Returns findings about addresses in DNS answers that are not steered.
    ///
    /// Every address that DNS may return must have a binding. Every service that the wanted policy binds on a whole
    /// pool must be in force on each of its addresses.
    func names(
        _ answered: [String: PrefixPool], _ inForce: Policy, wanted: Policy, _ file: String?
    ) -> [Finding] {
        var findings: [Finding] = []
        for (name, pool) in answered.sorted(by: { $0.key < $1.key }) where !pool.isEmpty {
            let service = wanted.traffic(ofAll: pool)
            let unsteered = inForce.unsteered(in: pool)
            findings += Self.findings(unsteered, "which no binding steers, may be in answers from the pool \(name)") {
                wanted.unsteered(in: PrefixPool([$0])).isEmpty
                    ? applying(file) : binding(of: $0, as: inForce.nearestService(to: pool))
            }
            for (label, traffic) in service {
                let partly = inForce.unsteered(traffic, in: pool).subtracting(unsteered)
                let what = "\(traffic.protocols) \(traffic.ports)"
                findings += Self.findings(
                    partly, "which no binding steers for \(what), may be in answers from the pool \(name)"
                ) { binding(of: $0, as: (label, traffic)) }
            }
        }
        return findings
    }

    private static func findings(
        _ pool: PrefixPool, _ sentence: String, remedy: (IPPrefix) -> Remedy
    ) -> [Finding] {
        var findings = pool.prefixes.prefix(10).map { prefix in
            Finding(.warning, "names", "\(prefix), \(sentence)", remedy: remedy(prefix))
        }
        if pool.prefixes.count > 10 {
            findings.append(Finding(.warning, "names", "and \(pool.prefixes.count - 10) more prefixes"))
        }
        return findings
    }

    private func binding(of prefix: IPPrefix, as service: (label: Label, traffic: Traffic)?) -> Remedy {
        guard let (label, traffic) = service else {
            return place.steer(.bind, ["bind"], blanks: ["LABEL", "tcp", "\(prefix)", "PORTS"])
        }
        return place.steer(
            .bind, ["bind", label.name, "\(traffic.protocols)", "\(prefix)", "\(traffic.ports)"])
    }
}

extension Policy {
    /// Returns a service that all bound addresses of the pool have, otherwise any service that one of them has; nil if
    /// none is bound.
    fileprivate func nearestService(to pool: PrefixPool) -> (label: Label, traffic: Traffic)? {
        let bound = pool.intersection(PrefixPool(bindings.lazy.filter { $0.outcome.label != nil }.map(\.prefix)))
        if let all = traffic(ofAll: bound).first, !bound.isEmpty { return (all.0, all.1) }
        return bindings.lazy.compactMap { binding in
            guard let label = binding.outcome.label, pool.overlaps(PrefixPool([binding.prefix])) else { return nil }
            return (label, Traffic(protocols: binding.protocols, ports: binding.ports))
        }.first
    }
}

extension Outcome {
    fileprivate var label: Label? {
        if case .label(let label) = self { label } else { nil }
    }
}
