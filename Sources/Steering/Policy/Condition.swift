/// The interfaces that the tables in force know: by the numbers that those of a name had when the policy was applied.
struct BoundInterfaces: Sendable {
    private let names: [UInt32: [InterfaceName]]

    init(_ indices: [InterfaceName: UInt32]) {
        names = Dictionary(grouping: indices.keys.sorted()) { indices[$0]! }
    }

    /// A packet as the bindings of the policy see it that arrives on the interface of a number: several times, where
    /// the interface has several names that are bound.
    func views(of packet: Packet, on index: UInt32) -> [Packet] {
        (names[index] ?? [.unbound]).map { name in
            var view = packet
            view.interface = name
            return view
        }
    }
}

/// What a binding asks of a packet beside protocol and destination: nothing, most often.
struct Condition: Sendable, Hashable {
    /// Not of length 0, which would ask nothing.
    let source: IPPrefix?
    let interface: InterfaceName?

    static let none = Condition(source: nil, interface: nil)

    init(source: IPPrefix?, interface: InterfaceName?) {
        self.source = source?.length == 0 ? nil : source
        self.interface = interface
    }

    var isNone: Bool { source == nil && interface == nil }
    var sourceLength: Int { source?.length ?? 0 }

    func matches(_ packet: Packet) -> Bool {
        if let source {
            guard let sender = packet.source, source.contains(sender.address) else { return false }
        }
        return interface == nil || interface == packet.interface
    }

    /// Whether all packets that satisfy another one satisfy this one.
    func contains(_ other: Condition) -> Bool {
        if let interface, interface != other.interface { return false }
        guard let source else { return true }
        return other.source.map { source.contains($0) } ?? false
    }

    /// What satisfies both; nil when nothing can.
    func intersection(_ other: Condition) -> Condition? {
        if let interface, let theirs = other.interface, interface != theirs { return nil }
        guard let source, let theirs = other.source else {
            return Condition(source: source ?? other.source, interface: interface ?? other.interface)
        }
        guard source.overlaps(theirs) else { return nil }
        return Condition(
            source: source.length < theirs.length ? theirs : source, interface: interface ?? other.interface)
    }
}

extension Condition: Comparable, CustomStringConvertible {
    /// Greater precedence first; then as bindings are listed.
    static func < (left: Condition, right: Condition) -> Bool {
        if left.sourceLength != right.sourceLength { return left.sourceLength > right.sourceLength }
        if (left.interface == nil) != (right.interface == nil) { return right.interface == nil }
        if let source = left.source, let other = right.source, source != other { return source < other }
        if let interface = left.interface, let other = right.interface { return interface < other }
        return false
    }

    /// ` from 198.51.100.0/24 on eth0`: what follows the ports in a binding's description; empty for none.
    var description: String {
        (source.map { " from \($0)" } ?? "") + (interface.map { " on \($0)" } ?? "")
    }
}

extension Condition: TableValue {
    static func precedes(_ left: Condition, _ right: Condition) -> Bool { left < right }

    var hash: UInt64 {
        var hash = UInt64(sourceLength) << 1 | (source?.family == .ipv6 ? 1 : 0)
        if let bits = source?.address.bits {
            hash = hash.mixed(with: UInt64(truncatingIfNeeded: bits >> 64))
            hash = hash.mixed(with: UInt64(truncatingIfNeeded: bits))
        }
        if let interface {
            for byte in interface.name.utf8 { hash = hash.mixed(with: UInt64(byte)) }
        }
        return hash.mixed(with: 1)
    }
}
