/// Ports and protocols of one service, whatever the address.
package struct Traffic: Sendable, Hashable {
    package let protocols: ProtocolMatch
    package let ports: PortSet
}

extension Policy {
    /// Returns the addresses of a pool at which no packet goes to a label, whatever its port and source.
    package func unsteered(in pool: PrefixPool) -> PrefixPool {
        pool.subtracting(
            covered(in: pool, by: { _ in true }, except: { $0.protocols == .both && $0.ports == .all }))
    }

    /// Returns the addresses of a pool at which some packets of this traffic do not go to a label.
    package func unsteered(_ traffic: Traffic, in pool: PrefixPool) -> PrefixPool {
        let unconditional = { (binding: Binding) in !binding.isConditional }
        return pool.subtracting(
            covered(
                in: pool, by: { unconditional($0) && $0.includes(traffic) }, except: { $0.overlaps(traffic) }))
    }

    /// Returns the services that are bound on every address of a pool, each with its label.
    package func traffic(ofAll pool: PrefixPool) -> [(Label, Traffic)] {
        var pools: [Key: [IPPrefix]] = [:]
        var keys: [Key] = []
        for binding in bindings where !binding.isConditional {
            guard case .label(let label) = binding.outcome else { continue }
            let key = Key(label: label, traffic: Traffic(protocols: binding.protocols, ports: binding.ports))
            if pools[key] == nil { keys.append(key) }
            pools[key, default: []].append(binding.prefix)
        }
        return keys.filter { pool.subtracting(PrefixPool(pools[$0]!)).isEmpty }.map { ($0.label, $0.traffic) }
    }

    private struct Key: Hashable {
        let label: Label
        let traffic: Traffic
    }

    /// Returns the addresses of a pool that bindings of labels cover, except those that a longer prefix refuses or
    /// passes.
    private func covered(
        in pool: PrefixPool, by covers: (Binding) -> Bool, except hides: (Binding) -> Bool
    ) -> PrefixPool {
        struct Step {
            var covered: [IPPrefix] = []
            var hidden: [IPPrefix] = []
        }
        // The longer prefix decides, so shorter ones come first, all of one length in one step.
        var steps: [Int: Step] = [:]
        for binding in bindings {
            if case .label = binding.outcome {
                if covers(binding) { steps[binding.prefix.length, default: Step()].covered.append(binding.prefix) }
            } else if !binding.isConditional, hides(binding) {
                steps[binding.prefix.length, default: Step()].hidden.append(binding.prefix)
            }
        }
        var covered = PrefixPool()
        for (_, step) in steps.sorted(by: { $0.key < $1.key }) {
            covered = covered.subtracting(PrefixPool(step.hidden).intersection(pool))
                .union(PrefixPool(step.covered).intersection(pool))
        }
        return covered
    }
}

extension Binding {
    fileprivate func includes(_ traffic: Traffic) -> Bool {
        (protocols == .both || protocols == traffic.protocols)
            && traffic.ports.ranges.allSatisfy { ports.contains($0) }
    }

    fileprivate func overlaps(_ traffic: Traffic) -> Bool {
        (protocols == .both || traffic.protocols == .both || protocols == traffic.protocols)
            && ports.overlaps(traffic.ports)
    }
}
