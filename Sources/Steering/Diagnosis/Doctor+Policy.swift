/// Findings about a policy in this network namespace, whatever is loaded.
extension Doctor {
    /// Checks for bindings that match nothing here, or more than they appear to.
    ///
    /// None of this is an error: a missing interface, for example, may still be added.
    ///
    /// - Parameter policy: The policy, or the new part of it.
    /// - Returns: The findings, the most severe first. Anything that may not be inspected is skipped.
    public func remarks(on policy: Policy) -> [Finding] {
        remarks(on: policy, isInForce: false).sorted { $0.severity > $1.severity }
    }

    /// As above, for bindings that were just added to the policy in force.
    ///
    /// - Parameters:
    ///   - added: The bindings.
    ///   - steering: The steering.
    /// - Returns: The findings, the most severe first. Remedies that replace a setting are for the whole policy.
    public func remarks(on added: Policy, inForceIn steering: SocketSteering) -> [Finding] {
        let all = remarks(on: added, isInForce: true, partOf: try? steering.policy)
        return (all + ((try? interfaces(of: steering, added)) ?? [])).sorted { $0.severity > $1.severity }
    }

    /// As above, unsorted; if `isInForce`, the policy's interfaces are examined by their index in the tables instead.
    func remarks(on policy: Policy, isInForce: Bool, partOf whole: Policy? = nil) -> [Finding] {
        let bindings = policy.bindings
        return groups(bindings) + ports(bindings) + members(policy)
            + clients(bindings, partOf: whole ?? policy) + (isInForce ? [] : absent(policy))
    }

    /// Returns findings about bindings of multicast and broadcast addresses: the kernel delivers such packets to every
    /// interested socket, and runs no sk_lookup program.
    private func groups(_ bindings: [Binding]) -> [Finding] {
        let subnets = try? namespace.run { () throws(SteeringError) in try LocalRoutes.broadcasts() }
        let broadcast = PrefixPool(subnets ?? []), groups = PrefixPool(IPAddress.groups)
        let never = bindings.filter { groups.contains($0.prefix) || broadcast.contains($0.prefix) }
        return Self.shortened(never, "addresses") { binding in
            let isMulticast = groups.contains(binding.prefix) && binding.prefix.first.bits != 0xffff_ffff
            return Finding(
                .warning, "addresses",
                "'\(binding)' matches nothing: \(binding.prefix) is \(isMulticast ? "multicast" : "a broadcast address"), and the kernel runs no sk_lookup program for packets to it"
            )
        }
    }

    private func ports(_ bindings: [Binding]) -> [Finding] {
        let zero = bindings.filter { $0.ports.ranges.first == PortRange(0) }
        return Self.shortened(zero, "ports") {
            Finding(.note, "ports", "'\($0)' binds port 0 only: for every port, use `all`")
        }
    }

    private func absent(_ policy: Policy) -> [Finding] {
        let names = policy.interfaces
        guard let now = try? InterfaceIndices(of: namespace)(of: names) else { return [] }
        return names.filter { now[$0] == nil }.map { name in
            Finding(
                .warning, "interfaces",
                "there is no interface \(name): its bindings match nothing until it exists and the policy is applied again"
            )
        }
    }

    /// Returns findings about interfaces that belong to a bridge, a VRF or the like: their packets arrive on that one.
    private func members(_ policy: Policy) -> [Finding] {
        let names = policy.interfaces
        guard !names.isEmpty,
            let links = try? namespace.run({ () throws(SteeringError) in try NetworkLinks() })
        else { return [] }
        return names.compactMap { name in
            guard let link = links.named(name), let receiver = links.receiver(of: link) else { return nil }
            return Finding(.warning, "interfaces", "the bindings on \(name) match nothing: \(receiver.taking(name))")
        }
    }
}

extension NetworkLink {
    /// The reason why no packets arrive on an interface that belongs to this one.
    func taking(_ member: InterfaceName) -> String {
        let what =
            switch kind {
            case "bridge": "a port of the bridge \(name)"
            case "vrf": "a member of the VRF \(name)"
            default: "a part of \(name)" + (kind.isEmpty ? "" : " (\(kind))")
            }
        return "it is \(what), on which its packets arrive; bind on \(name)"
    }
}
