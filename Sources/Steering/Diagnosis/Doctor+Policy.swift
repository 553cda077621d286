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

    /// As above, unsorted; if `isInForce`, the policy's interfaces are examined by their index in the tables instead.
    func remarks(on policy: Policy, isInForce: Bool) -> [Finding] {
        let bindings = policy.bindings
        return groups(bindings) + ports(bindings) + members(policy) + clients(bindings)
            + (isInForce ? [] : absent(policy))
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

    /// Returns findings about bindings that match answers to unconnected UDP clients of this host, whose ports the
    /// kernel chose.
    private func clients(_ bindings: [Binding]) -> [Finding] {
        let wide = bindings.filter { $0.protocols.contains(.udp) && $0.outcome != .pass && !$0.isConditional }
        guard !wide.isEmpty else { return [] }
        struct Environment: Sendable {
            var chosen: ClosedRange<UInt16>?
            var reserved: String
            var addresses: [IPAddress]
        }
        let looked = try? namespace.run { () throws(SteeringError) in
            Environment(
                chosen: HostFacts.localPorts, reserved: HostFacts.sysctl(Self.reservedPorts) ?? "",
                addresses: try NetworkLinks.addresses())
        }
        guard let looked, let chosen = looked.chosen else { return [] }
        let reserved = looked.reserved.isEmpty ? nil : try? PortSet(looked.reserved)
        var found: [(Binding, IPAddress, PortSet)] = []
        for binding in wide {
            let ports = binding.ports.intersection(PortSet(PortRange(chosen)))
            let hit = reserved.map { ports.subtracting($0) } ?? ports
            guard !hit.isEmpty, let address = looked.addresses.first(where: { binding.prefix.contains($0) }) else {
                continue
            }
            found.append((binding, address, hit))
        }
        return Self.shortened(found, "clients") { binding, address, ports in
            let text = ([reserved].compactMap { $0 } + [ports]).map(\.description).joined(separator: ",")
            return Finding(
                .note, "clients",
                "'\(binding)' also matches answers to unconnected UDP clients of this host, whose ports the kernel chooses from \(chosen.lowerBound)-\(chosen.upperBound) on \(address): let them connect, or reserve these ports",
                remedy: ports.count > 1024
                    ? nil : place.sysctl(.reservePorts, ["\(Self.reservedPorts)=\(text)"]))
        }
    }

    private static let reservedPorts = "net.ipv4.ip_local_reserved_ports"
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

extension PortSet {
    fileprivate func subtracting(_ other: PortSet) -> PortSet {
        var ranges: [PortRange] = []
        for range in self.ranges {
            var start = Int(range.lower)
            for hole in other.ranges where hole.overlaps(range) {
                if Int(hole.lower) > start { ranges.append(PortRange(UInt16(start)...hole.lower - 1)) }
                start = Int(hole.upper) + 1
            }
            if start <= Int(range.upper) { ranges.append(PortRange(UInt16(start)...range.upper)) }
        }
        return PortSet(ranges)
    }
}
