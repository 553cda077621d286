import Steering

/// Bindings to measure, and packets for them.
struct Scenario {
    let name: String
    let bindings: [Binding]
    /// Of each family, an address that is bound, and a port that is bound there.
    let steered: [IPFamily: SocketAddress]

    /// What the program is asked about with one packet over and over.
    static func all(quick: Bool) throws -> [Scenario] {
        let ports: PortSet = [80...92]
        // The prefixes and ports of the paper.
        let two: [IPPrefix] = [try IPPrefix("192.0.0.0/20"), try IPPrefix("2001:db8::/44")]
        let many: [IPPrefix] = (0..<500).flatMap { number in
            [
                IPPrefix(masking: IPAddress(ipv4: 0x0a00_0000 | scattered(number) << 8), length: 24),
                IPPrefix(masking: IPAddress(ipv6: 0x2001_0db8 << 96 | UInt128(scattered(number)) << 80), length: 48),
            ]
        }
        func bind(_ prefixes: [IPPrefix], _ rest: (Int) -> (label: Int, ports: PortSet)) throws -> [Binding] {
            try prefixes.enumerated().map { index, prefix in
                let (label, ports) = rest(index / 2)
                return try Binding(.both, to: prefix, ports: ports, .label(RuleSets.label(label)))
            }
        }
        let large = quick ? 2_000 : 100_000
        return [
            Scenario("2 prefixes x 13 ports", try bind(two) { _ in (0, ports) }, port: 90),
            Scenario("1,000 prefixes x 13 ports", try bind(many) { _ in (0, ports) }, port: 90),
            // The sets overlap, so that no port decides alone.
            Scenario(
                "1,000 prefixes, 10 labels",
                try bind(many) { ($0 % 10, [.init(UInt16(80 + $0 % 10)...UInt16(92 + $0 % 10))]) }, port: 90),
            Scenario("\(large.text) bindings", RuleSets.scattered.bindings(large)),
        ]
    }

    /// Takes the addresses from the middle binding of each family whose port is missed one beside.
    private init(_ name: String, _ bindings: [Binding], port: UInt16? = nil) {
        self.name = name
        self.bindings = bindings
        var steered: [IPFamily: SocketAddress] = [:]
        for family in IPFamily.allCases {
            let candidates = bindings.filter { $0.prefix.family == family && $0.ports != .all }
            for binding in candidates[(candidates.count / 2)...] {
                let address = IPAddress(inside: binding.prefix)
                let open = SocketAddress(address, port: port ?? binding.ports.ranges[0].lower)
                let closed = Packet(.tcp, to: SocketAddress(address, port: Self.closedPort))
                guard binding.matches(Packet(.tcp, to: open)), !bindings.contains(where: { $0.matches(closed) })
                else { continue }
                steered[family] = open
                break
            }
        }
        self.steered = steered
    }

    /// Numbers of 16 bits, each once, in no order: neighbours do not share nodes.
    private static func scattered(_ index: Int) -> UInt32 { UInt32(index) &* 40_503 & 0xffff }

    /// Two addresses and a port that no scenario steers.
    static let strangers: [IPFamily: IPAddress] = [
        .ipv4: IPAddress(ipv4: 0xcb00_7107), .ipv6: IPAddress(ipv6: 0x2a00_0001 << 96 | 7),
    ]
    static let closedPort: UInt16 = 70
}

extension Binding {
    /// A packet that matches.
    func packet(using random: inout some RandomNumberGenerator) -> SocketAddress {
        let range = ports.ranges.randomElement(using: &random)!
        // Port 0 is nobody's here: to the LPM trie it is any.
        return SocketAddress(
            PrefixPool([prefix]).randomAddress(using: &random)!,
            port: .random(in: max(1, range.lower)...range.upper, using: &random))
    }
}

extension IPAddress {
    /// The seventh address of a prefix, or its only one.
    fileprivate init(inside prefix: IPPrefix) {
        let bits = prefix.first.bits + (prefix.count > 7 ? 7 : 0)
        self = prefix.family == .ipv4 ? IPAddress(ipv4: UInt32(bits)) : IPAddress(ipv6: bits)
    }
}

extension Int {
    /// With a comma before every three digits.
    var text: String {
        let digits = String(self)
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }
}
