import CSteering

/// The traffic that a socket is registered for: a label's, of one family and one protocol.
public struct Destination: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The label.
    public let label: Label
    /// The family of the packets; a dual-stack IPv6 socket may receive both families.
    public let family: IPFamily
    /// The protocol.
    public let transport: TransportProtocol

    /// Creates a destination from a label, a family and a protocol.
    public init(_ label: Label, _ family: IPFamily, _ transport: TransportProtocol) {
        self.label = label
        self.family = family
        self.transport = transport
    }

    /// Orders by label, then family, then protocol.
    public static func < (left: Destination, right: Destination) -> Bool {
        (left.label, left.family, left.transport) < (right.label, right.family, right.transport)
    }

    /// A description such as `web tcp/IPv4`.
    public var description: String { "\(label) \(transport)/\(family)" }

    /// The line in an answer of steerd.
    package var line: String { "\(transport) \(family)" }

    /// The four destinations of a label.
    static func all(of label: Label) -> [Destination] {
        IPFamily.allCases.flatMap { family in TransportProtocol.allCases.map { Destination(label, family, $0) } }
    }

    /// Creates the destination that has a number in the data plane; nil if no label has that number.
    init?(number: UInt32, _ labels: [UInt32: Label]) {
        guard let label = labels[number / UInt32(STEERING_DESTINATIONS_PER_LABEL)] else { return nil }
        self.init(
            label, Int(number) & STEERING_IPV6 == 0 ? .ipv4 : .ipv6, Int(number) & STEERING_UDP == 0 ? .tcp : .udp)
    }

    /// The destination's number in the data plane.
    func number(labelNumber: UInt32) -> UInt32 {
        labelNumber * UInt32(STEERING_DESTINATIONS_PER_LABEL) + (family == .ipv6 ? UInt32(STEERING_IPV6) : 0)
            + (transport == .udp ? UInt32(STEERING_UDP) : 0)
    }
}

extension Policy {
    /// Returns the destinations of a label that its bindings lead to.
    package func destinations(of label: Label) -> [Destination] {
        let own = bindings.filter { $0.outcome == .label(label) }
        return Destination.all(of: label).filter { destination in
            own.contains {
                $0.prefix.family == destination.family && $0.protocols.contains(destination.transport)
            }
        }
    }
}

/// The numbers of labels in the data plane, kept as long as bindings or sockets use them.
struct LabelNumbers: Equatable, Sendable {
    private var numbers: [Label: UInt32] = [:]
    private var free: [UInt32] = []
    private var next: UInt32 = 0

    init() {}

    /// Restores stored numbers; nil if one is too large or used twice.
    init?(_ numbers: [Label: UInt32]) {
        self.numbers = numbers
        let taken = Set(numbers.values)
        guard taken.count == numbers.count else { return nil }
        guard taken.allSatisfy({ $0 < UInt32(STEERING_MAX_LABELS) }) else { return nil }
        next = taken.max().map { $0 + 1 } ?? 0
        free = (0..<next).filter { !taken.contains($0) }
    }

    /// Compares the numbers of labels only, not which numbers are free.
    static func == (left: LabelNumbers, right: LabelNumbers) -> Bool { left.numbers == right.numbers }

    var labels: Dictionary<Label, UInt32>.Keys { numbers.keys }

    subscript(label: Label) -> UInt32? { numbers[label] }

    /// Labels by number.
    var byNumber: [UInt32: Label] {
        Dictionary(uniqueKeysWithValues: numbers.map { ($0.value, $0.key) })
    }

    /// Returns the label's number, assigning a free one if it has none.
    ///
    /// A reused number has empty socket slots, but still has the counters of its former label: callers reset them.
    ///
    /// - Throws: `tooManyLabels`.
    mutating func assign(_ label: Label) throws(SteeringError) -> UInt32 {
        if let number = numbers[label] { return number }
        var number = next
        if let reused = free.popLast() {
            number = reused
        } else {
            guard next < UInt32(STEERING_MAX_LABELS) else { throw .tooManyLabels(Int(STEERING_MAX_LABELS)) }
            next += 1
        }
        numbers[label] = number
        return number
    }

    mutating func release(_ label: Label) {
        if let number = numbers.removeValue(forKey: label) { free.append(number) }
    }
}
