/// Which of two matching bindings decides: the greater one.
///
/// A total order, and the whole of it: the longer destination prefix; then fewer ports (counted over
/// the binding's whole port set); then one protocol over both. Two bindings that overlap, have equal
/// precedence and differ in outcome are a conflict, which ``Policy/validate()`` and every change
/// refuse; so the order in which bindings are written never matters.
public struct Precedence: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The length of the destination prefix: longer is greater.
    public let prefixLength: Int
    /// The number of ports: fewer is greater.
    public let portCount: Int
    /// Whether one protocol matches, rather than both: true is greater.
    public let isOneProtocol: Bool

    /// Compares prefix lengths, then port counts, then protocols.
    public static func < (left: Precedence, right: Precedence) -> Bool {
        if left.prefixLength != right.prefixLength { return left.prefixLength < right.prefixLength }
        if left.portCount != right.portCount { return left.portCount > right.portCount }
        return !left.isOneProtocol && right.isOneProtocol
    }

    /// `/24, 2 ports, one protocol`.
    public var description: String {
        "/\(prefixLength), \(portCount) port\(portCount == 1 ? "" : "s"), \(isOneProtocol ? "one protocol" : "both protocols")"
    }
}

extension Binding {
    /// The binding's place among all bindings that match a packet.
    public var precedence: Precedence {
        Precedence(prefixLength: prefix.length, portCount: ports.count, isOneProtocol: protocols != .both)
    }
}
