/// Which of two matching bindings decides: the greater one.
///
/// A total order, and the whole of it: the longer destination prefix; then the longer source prefix; then
/// an interface over none; then fewer ports (counted over the binding's whole port set); then one
/// protocol over both. Two bindings that overlap, have equal precedence and differ in outcome are a
/// conflict, which ``Policy/validate()`` and every change refuse; so the order in which bindings are
/// written never matters.
public struct Precedence: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The length of the destination prefix: longer is greater.
    public let prefixLength: Int
    /// The length of the source prefix, 0 for any source: longer is greater.
    public let sourceLength: Int
    /// Whether an interface matches, rather than all: true is greater.
    public let isOneInterface: Bool
    /// The number of ports: fewer is greater.
    public let portCount: Int
    /// Whether one protocol matches, rather than both: true is greater.
    public let isOneProtocol: Bool

    /// Compares lengths of prefixes and of sources, then interfaces, port counts, protocols.
    public static func < (left: Precedence, right: Precedence) -> Bool {
        if left.prefixLength != right.prefixLength { return left.prefixLength < right.prefixLength }
        if left.sourceLength != right.sourceLength { return left.sourceLength < right.sourceLength }
        if left.isOneInterface != right.isOneInterface { return right.isOneInterface }
        if left.portCount != right.portCount { return left.portCount > right.portCount }
        return !left.isOneProtocol && right.isOneProtocol
    }

    /// `/24, from a /16, on an interface, 2 ports, one protocol`.
    public var description: String {
        let source = sourceLength == 0 ? "" : "from a /\(sourceLength), "
        let interface = isOneInterface ? "on an interface, " : ""
        let ports = "\(portCount) port\(portCount == 1 ? "" : "s")"
        return "/\(prefixLength), \(source)\(interface)\(ports), \(isOneProtocol ? "one protocol" : "both protocols")"
    }
}

extension Binding {
    /// The binding's place among all bindings that match a packet.
    public var precedence: Precedence {
        Precedence(
            prefixLength: prefix.length, sourceLength: condition.sourceLength, isOneInterface: interface != nil,
            portCount: ports.count, isOneProtocol: protocols != .both)
    }
}
