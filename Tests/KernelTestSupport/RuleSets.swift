import Steering

/// Large policies of different kinds, made of chance and a seed, without conflicts: what classifiers find hard,
/// and what they are given.
///
/// In the style of ClassBench (Taylor and Turner, INFOCOM 2005), whose seeds came from real filter sets: prefix
/// lengths and classes of ports are drawn from distributions, addresses share blocks. Benchmarks compile this
/// file, too.
public enum RuleSets: String, CaseIterable, Sendable, CustomStringConvertible {
    /// Prefixes of all lengths anywhere, some services with a few ports each: what a large host has.
    case scattered
    /// Nearly every prefix with a set of ports of its own.
    case manyPortSets
    /// Chains of prefixes from /0 to a single address, of which no two neighbours agree.
    case deepNesting
    /// Single addresses, in lists with an outcome each.
    case hostLists
    /// Every binding has a port of its own.
    case distinctPorts
    /// A mix of lengths, port classes and outcomes as in a firewall.
    case firewall

    public var description: String {
        switch self {
        case .scattered: "scattered"
        case .manyPortSets: "many port sets"
        case .deepNesting: "deep nesting"
        case .hostLists: "host lists"
        case .distinctPorts: "distinct ports"
        case .firewall: "firewall"
        }
    }

    /// So many bindings, of both families, in the order in which chance made them.
    public func bindings(_ count: Int, labels: Int = 300, seed: UInt64 = 1) -> [Binding] {
        var rules = Rules(count: count, labels: labels, seed: seed)
        while rules.bindings.count < count {
            switch self {
            case .scattered: rules.addScattered()
            case .manyPortSets: rules.addWithPortSet()
            case .deepNesting: rules.addChain()
            case .hostLists: rules.addHost()
            case .distinctPorts: rules.addWithPort()
            case .firewall: rules.addFirewallRule()
            }
        }
        return Array(rules.bindings.prefix(count))
    }

    /// The label of a number.
    public static func label(_ number: Int) -> Label { Label(stringLiteral: "label-\(number)") }
}

/// Hosts of 10.1.0.0/16, each with a TCP port of its own: rows times port classes is what makes tables large. 600
/// outgrow the smallest.
public func hostsWithPorts(_ count: Int, _ label: Label) -> [Binding] {
    (0..<UInt32(count)).map { number in
        let host = IPPrefix(masking: IPAddress(ipv4: 0x0a01_0000 | number), length: 32)
        return try! Binding(.tcp, to: host, ports: [PortRange(UInt16(10_000 + 2 * number))], .label(label))
    }
}

private struct Rules {
    var bindings: [Binding] = []
    private let count: Int
    private let labels: [Label]
    private var random: SeededGenerator

    /// Two bindings of one prefix with as many ports may be a conflict, so there are none.
    private struct Place: Hashable {
        let prefix: IPPrefix
        let ports: Int
    }
    private var taken: Set<Place> = []

    init(count: Int, labels: Int, seed: UInt64) {
        self.count = count
        self.labels = (0..<labels).map(RuleSets.label)
        random = SeededGenerator(seed: seed)
        bindings.reserveCapacity(count)
    }

    // MARK: - Kinds

    private static let services: [PortSet] = [[80], [443], [80, 443], [53], [8000...8003], [25, 465, 587], .all]

    mutating func addScattered() {
        let label = draw(labels)
        // A service has its ports wherever it is.
        let ports = Self.services[Int(label.description.utf8.last!) % Self.services.count]
        let family = draw(IPFamily.allCases)
        let length = family == .ipv4 ? Int.random(in: 16...32, using: &random) : draw(Self.ipv6Lengths)
        add(prefix(address(family), length), ports, .label(label))
    }

    private static let ipv6Lengths = Array(32...64) + Array(48...64) + [96, 112] + Array(repeating: 128, count: 6)

    mutating func addWithPortSet() {
        let family = draw(IPFamily.allCases)
        let ports = (0..<Int.random(in: 1...4, using: &random)).map { _ in portRange() }
        add(prefix(address(family), Int.random(in: 12...family.bitWidth, using: &random)), PortSet(ports), outcome())
    }

    mutating func addChain() {
        let address = address(draw(IPFamily.allCases))
        for length in 0...address.family.bitWidth {
            let ports: PortSet = length % 2 == 0 ? .all : [0...1023, 8080]
            let label = labels[length / 3 % labels.count]
            let outcome: Outcome = length % 3 == 0 ? .label(label) : length % 3 == 1 ? .refuse : .pass
            add(prefix(address, length), ports, outcome)
        }
    }

    mutating func addHost() {
        let list = Int.random(in: 0..<max(1, count / 500), using: &random)
        let ports = Self.services[list % Self.services.count]
        let outcome: Outcome = list % 5 == 4 ? .refuse : .label(labels[list % labels.count])
        let address = address(draw(IPFamily.allCases))
        add(prefix(address, address.family.bitWidth), ports, outcome)
    }

    mutating func addWithPort() {
        let number = bindings.count
        let family: IPFamily = number % 3 == 0 ? .ipv6 : .ipv4
        let length = family == .ipv4 ? Int.random(in: 16...32, using: &random) : draw(Self.ipv6Lengths)
        add(
            prefix(address(family), length), [PortRange(UInt16(truncatingIfNeeded: number))], outcome(),
            number >> 16 & 1 == 0 ? .tcp : .udp)
    }

    mutating func addFirewallRule() {
        // Few blocks of addresses: rules are about somebody's network.
        let block = Int.random(in: 0..<max(1, count / 64), using: &random)
        var place = SeededGenerator(seed: UInt64(block))
        let family: IPFamily = block % 4 == 0 ? .ipv6 : .ipv4
        let outer = Self.address(family, &place), inner = address(family)
        let shared = family == .ipv4 ? 20 : 48
        let low = (UInt128(1) << UInt128(family.bitWidth - shared)) - 1
        let bits = outer.bits & ~low | inner.bits & low
        let address = family == .ipv4 ? IPAddress(ipv4: UInt32(bits)) : IPAddress(ipv6: bits)
        let length =
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<2: Int.random(in: 0...8, using: &random)
            case 2..<12: Int.random(in: 9...shared, using: &random)
            case 12..<50: family == .ipv4 ? 24 : 64
            case 50..<65: Int.random(in: shared...family.bitWidth, using: &random)
            default: family.bitWidth
            }
        let ports: PortSet =
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<30: .all
            case 30..<38: [1024...65535]
            case 38..<40: [0...1023]
            case 40..<50: PortSet(portRange())
            default: [PortRange(draw(Self.wellKnown))]
            }
        add(prefix(address, length), ports, outcome(), draw([.tcp, .tcp, .udp, .both]))
    }

    private static let wellKnown: [UInt16] = [
        21, 22, 25, 53, 80, 80, 80, 110, 123, 143, 161, 389, 443, 443, 443, 465, 514, 587, 636, 853, 993, 1194, 1433,
        1521, 3306, 3389, 5060, 5432, 6379, 8080, 8443, 9090, 9200, 11211, 27017,
    ]

    // MARK: - Parts

    private mutating func add(
        _ prefix: IPPrefix, _ ports: PortSet, _ outcome: Outcome, _ protocols: ProtocolMatch = .both
    ) {
        guard taken.insert(Place(prefix: prefix, ports: ports.count)).inserted else { return }
        // No set of ports here is empty, which is all that could be wrong.
        bindings.append(try! Binding(protocols, to: prefix, ports: ports, outcome))
    }

    private func prefix(_ address: IPAddress, _ length: Int) -> IPPrefix { IPPrefix(masking: address, length: length) }

    private mutating func address(_ family: IPFamily) -> IPAddress { Self.address(family, &random) }

    /// Global unicast, more or less.
    private static func address(_ family: IPFamily, _ random: inout SeededGenerator) -> IPAddress {
        family == .ipv4
            ? IPAddress(ipv4: .random(in: 0x0100_0000...0xdfff_ffff, using: &random))
            : IPAddress(ipv6: 1 << 125 | .random(in: 0..<(1 << 125), using: &random))
    }

    private mutating func portRange() -> PortRange {
        let lower = UInt16.random(in: 0...UInt16.max, using: &random)
        let length = draw([0, 0, 9, 99, 999] as [UInt16])
        return PortRange(lower...(lower > .max - length ? .max : lower + length))
    }

    private mutating func outcome() -> Outcome {
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<2: .refuse
        case 2: .pass
        default: .label(draw(labels))
        }
    }

    private mutating func draw<Element>(_ elements: [Element]) -> Element { elements.randomElement(using: &random)! }
}
