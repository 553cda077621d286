/// Findings about bindings that match answers to clients on this host.
extension Doctor {
    /// A binding that matches answers to unconnected UDP clients.
    private struct Overlap {
        let binding: Binding
        /// An address of this host.
        let address: IPAddress
        /// The ports from which the kernel chooses the client's.
        let ports: PortSet
    }

    /// The ports from which the kernel chooses, in a network namespace.
    private struct ClientPorts: Sendable {
        let chosen: ClosedRange<UInt16>
        /// The value of the sysctl; empty if no ports are reserved.
        let reserved: String
        let addresses: [IPAddress]

        /// Inspects the calling thread's network namespace.
        init?() throws(SteeringError) {
            guard let chosen = HostFacts.localPorts else { return nil }
            self.chosen = chosen
            reserved = HostFacts.sysctl(Doctor.reservedPorts) ?? ""
            addresses = try NetworkLinks.addresses()
        }

        func overlap(_ binding: Binding, _ reserved: PortSet) -> Overlap? {
            guard binding.protocols.contains(.udp), binding.outcome != .pass, !binding.isConditional else { return nil }
            let ports = binding.ports.intersection(PortSet(PortRange(chosen))).subtracting(reserved)
            guard !ports.isEmpty, let address = addresses.first(where: { binding.prefix.contains($0) }) else {
                return nil
            }
            return Overlap(binding: binding, address: address, ports: ports)
        }

        /// The sysctl's value with more ports; nil if that would leave the kernel too few to choose from.
        func reserving(_ ports: PortSet, besides reserved: PortSet) -> String? {
            let all = PortSet(reserved.ranges + ports.ranges)
            let left = PortSet(PortRange(chosen)).subtracting(all).count
            return ports.count <= 1024 && left >= chosen.count - left ? all.description : nil
        }
    }

    /// Returns findings about bindings that match answers to unconnected UDP clients of this host, whose ports the
    /// kernel chose.
    ///
    /// Setting the sysctl replaces its value, so each remedy reserves the ports of all bindings of `whole`, of which
    /// these are a part. If that would take most ports away, there is none: without a free port no client of this host
    /// can connect.
    func clients(_ bindings: [Binding], partOf whole: Policy) -> [Finding] {
        guard let ports = try? namespace.run({ () throws(SteeringError) in try ClientPorts() }) else { return [] }
        // A value that was not read whole must not be replaced.
        let known = ports.reserved.isEmpty ? PortSet([]) : try? PortSet(ports.reserved)
        let reserved = known ?? PortSet([])
        let found = bindings.compactMap { ports.overlap($0, reserved) }
        if found.isEmpty { return [] }
        let all = PortSet(whole.bindings.lazy.compactMap { ports.overlap($0, reserved) }.flatMap(\.ports.ranges))
        let value = known.flatMap { ports.reserving(all, besides: $0) }
        let cure = value == nil ? "let them connect" : "let them connect, or reserve these ports"
        return Self.shortened(found, "clients") { overlap in
            Finding(
                .note, "clients",
                "'\(overlap.binding)' also matches answers to unconnected UDP clients of this host, whose ports the kernel chooses from \(ports.chosen.lowerBound)-\(ports.chosen.upperBound) on \(overlap.address): \(cure)",
                remedy: value.map { place.sysctl(.reservePorts, ["\(Self.reservedPorts)=\($0)"]) })
        }
    }

    fileprivate static let reservedPorts = "net.ipv4.ip_local_reserved_ports"
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
