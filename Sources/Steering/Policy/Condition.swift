/// The bound interface names by the index that each interface had when the policy was applied.
struct BoundInterfaces: Sendable {
    private let names: [UInt32: [InterfaceName]]

    init(_ indices: [InterfaceName: UInt32]) {
        names = Dictionary(grouping: indices.keys.sorted()) { indices[$0]! }
    }

    /// Returns a packet that arrived on the interface with an index, once for each name by which bindings refer to the
    /// interface.
    ///
    /// There are several if it has alternative names. If there is none, the packet's interface is `unbound`.
    func views(of packet: Packet, on index: UInt32) -> [Packet] {
        (names[index] ?? [.unbound]).map { name in
            var view = packet
            view.interface = name
            return view
        }
    }
}

/// The requirements of a binding besides protocol, destination address and port: usually none.
struct Condition: Sendable, Hashable {
    /// Never of length 0, which would match every source.
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

    /// Whether every packet that satisfies another condition satisfies this one.
    func contains(_ other: Condition) -> Bool {
        if let interface, interface != other.interface { return false }
        guard let source else { return true }
        return other.source.map { source.contains($0) } ?? false
    }

    /// The condition satisfied by the packets that satisfy both; nil if there can be none.
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
    /// Orders by descending precedence, then as bindings are listed.
    static func < (left: Condition, right: Condition) -> Bool {
        if left.sourceLength != right.sourceLength { return left.sourceLength > right.sourceLength }
        if (left.interface == nil) != (right.interface == nil) { return right.interface == nil }
        if let source = left.source, let other = right.source, source != other { return source < other }
        if let interface = left.interface, let other = right.interface { return interface < other }
        return false
    }

    /// The part of a binding's description after the ports, such as ` from 198.51.100.0/24 on eth0`; empty without a
    /// condition.
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
