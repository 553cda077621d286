import Steering

/// Policies and packets at random, made so that bindings overlap, nest and touch.
public struct RandomPolicies {
    public var random: SeededGenerator
    private let labels: [Label]
    private let conditions: Bool
    private let interfaces: [InterfaceName]

    /// - Parameters:
    ///   - conditions: Whether some bindings have a source or an interface; packets then have both.
    ///   - interfaces: At least one.
    public init(
        seed: UInt64, labels: [Label], conditions: Bool = false, interfaces: [InterfaceName] = ["lo", "eth0", "eth1"]
    ) {
        random = SeededGenerator(seed: seed)
        self.labels = labels
        self.conditions = conditions
        self.interfaces = interfaces
    }

    /// A policy without conflicts: a binding that would conflict is left out.
    public mutating func policy(bindings count: Int) -> Policy {
        var policy = Policy()
        for label in labels where Bool.random(using: &random) {
            policy[label] = LabelOptions(withoutSocket: .pass)
        }
        while policy.bindings.count < count {
            var next = policy
            next.bind(binding())
            if next.bindings.count == policy.bindings.count { continue }
            if (try? next.validate()) != nil { policy = next }
        }
        return policy
    }

    private mutating func binding() -> Binding {
        let outcome: Outcome =
            switch Int.random(in: 0..<8, using: &random) {
            case 0: .refuse
            case 1: .pass
            default: .label(labels.randomElement(using: &random)!)
            }
        let protocols = ProtocolMatch.allCases.randomElement(using: &random)!, prefix = prefix(), ports = ports()
        let source = conditions && Int.random(in: 0..<3, using: &random) > 0 ? source(prefix.family) : nil
        let interface = conditions && Bool.random(using: &random) ? interfaces.randomElement(using: &random) : nil
        return try! Binding(protocols, to: prefix, ports: ports, from: source, on: interface, outcome)
    }

    /// One of a few neighbours.
    private mutating func sender(_ family: IPFamily) -> IPAddress {
        let noise = UInt32.random(in: 0...15, using: &random)
        let shift = UInt32([0, 4, 6, 20].randomElement(using: &random)!)
        if family == .ipv4 { return IPAddress(ipv4: 0xc633_6400 ^ noise << shift) }
        return IPAddress(ipv6: 0xfd00 << 112 ^ UInt128(noise) << UInt128(shift * 5))
    }

    /// Nested in others, and next to them; at times of length 0, which is none.
    private mutating func source(_ family: IPFamily) -> IPPrefix {
        let lengths = family == .ipv4 ? [0, 1, 8, 22, 24, 26, 27, 30, 32] : [0, 1, 16, 28, 64, 96, 124, 127, 128]
        return IPPrefix(masking: sender(family), length: lengths.randomElement(using: &random)!)
    }

    /// Addresses from a few small neighbourhoods, lengths from /0 to the longest.
    private mutating func address() -> IPAddress {
        let noise = UInt32.random(in: 0...UInt32.max, using: &random)
        let keep: UInt32 = [0, 0xff, 0xffff, 0x3_0003, 0xffff_ffff].randomElement(using: &random)!
        if Bool.random(using: &random) { return IPAddress(ipv4: 0xc000_0200 ^ noise & keep) }
        let wide = UInt128(noise & keep)
        let base: UInt128 = 0x2001_0db8_0007_0000_0000_0000_0000_0000
        let shift = [0, 16, 40, 64, 80, 96].randomElement(using: &random)!
        return IPAddress(ipv6: base ^ wide << UInt128(shift))
    }

    private mutating func prefix() -> IPPrefix {
        let address = address()
        let width = address.family.bitWidth
        let length =
            switch Int.random(in: 0..<6, using: &random) {
            case 0: width
            case 1: 0
            case 2: width - Int.random(in: 0...8, using: &random)
            default: Int.random(in: 0...width, using: &random)
            }
        return IPPrefix(masking: address, length: length)
    }

    private mutating func port() -> UInt16 {
        switch Int.random(in: 0..<5, using: &random) {
        case 0: 0
        case 1: .max
        case 2: .random(in: 0...UInt16.max, using: &random)
        default: .random(in: 79...84, using: &random)
        }
    }

    private mutating func ports() -> PortSet {
        if Int.random(in: 0..<6, using: &random) == 0 { return .all }
        return PortSet(
            (0..<Int.random(in: 1...4, using: &random)).map { _ in
                let ends = [port(), port()].sorted()
                return Bool.random(using: &random) ? PortRange(ends[0]) : PortRange(ends[0]...ends[1])
            })
    }

    /// A packet: often just inside or just outside of a binding.
    public mutating func packet(near policy: Policy) -> Packet {
        let (transport, destination) = destination(near: policy)
        var packet = Packet(transport, to: destination)
        guard conditions else { return packet }
        var source = sender(destination.address.family)
        if let near = policy.bindings.randomElement(using: &random)?.source, near.family == source.family {
            source = [source, near.first, near.last, near.parent?.last ?? near.last].randomElement(using: &random)!
        }
        packet.source = SocketAddress(source, port: .random(in: 1024...UInt16.max, using: &random))
        packet.interface = interfaces.randomElement(using: &random)
        return packet
    }

    private mutating func destination(near policy: Policy) -> (TransportProtocol, SocketAddress) {
        guard let near = policy.bindings.randomElement(using: &random), Int.random(in: 0..<5, using: &random) > 0 else {
            let transport = TransportProtocol.allCases.randomElement(using: &random)!
            return (transport, SocketAddress(address(), port: port()))
        }
        return near.packet(around: &random)
    }
}

extension Packet {
    /// With all that is known of a packet that has arrived: where nothing is said, on `lo` from the unspecified address.
    public var asItArrives: Packet {
        Packet(
            transport, to: destination,
            from: source ?? SocketAddress(.unspecified(destination.address.family), port: 0), on: interface ?? "lo")
    }
}

extension Binding {
    /// A packet at the edge of what the binding matches, or well inside.
    public func packet(around random: inout some RandomNumberGenerator) -> (TransportProtocol, SocketAddress) {
        let transport = TransportProtocol.allCases.randomElement(using: &random)!
        let range = ports.ranges.randomElement(using: &random)!
        let step = [0, 0, 1, .max].randomElement(using: &random)! as UInt16
        let port = (Bool.random(using: &random) ? range.lower : range.upper) &+ step
        var address =
            switch Int.random(in: 0..<4, using: &random) {
            case 0: prefix.first
            case 1: prefix.last
            default: PrefixPool([prefix]).randomAddress(using: &random)!
            }
        if Int.random(in: 0..<4, using: &random) == 0 {
            let bit = UInt128.random(in: 0..<UInt128(prefix.family.bitWidth), using: &random)
            let moved = address.bits ^ 1 << bit
            address = prefix.family == .ipv4 ? IPAddress(ipv4: UInt32(moved)) : IPAddress(ipv6: moved)
        }
        return (transport, SocketAddress(address, port: port))
    }
}
