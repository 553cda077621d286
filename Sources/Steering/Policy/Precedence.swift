/// Which of two matching bindings decides: the greater one.
///
/// Compared in this order: the longer destination prefix; then the longer source prefix; then an interface over none;
/// then fewer ports (counted over the binding's whole port set); then one protocol over both. Two bindings that
/// overlap, have equal precedence and differ in outcome are a conflict, which ``Policy/validate()`` and every change of
/// a policy reject. So the order in which bindings are written never matters.
///
/// The same order is implemented or assumed in the places below, which have to change together. `PrecedenceTests` fails
/// when one of those in Swift or in prose disagrees; `ReferenceMatcher` uses this type, and `ClassifierAgreementTests`
/// compares the program with it.
///
/// - `Policy/PolicyRecord.swift`: the order of the fields in `match`, and `rank`. Records are stored in this form, so a
///   change needs a new `STEERING_ABI_VERSION` in `CBPF/CSteering/include/steering_abi.h`, and conversion in
///   `Kernel/Pins/StoredPolicy+Reading.swift`.
/// - `Policy/Condition.swift` and `Policy/NumberedTable.swift`: the order of conditions and port sets in their tables.
/// - `Policy/Conflicts.swift`: bindings of equal precedence overlap only if their conditions are equal.
/// - `Policy/BindingFinder.swift` and `Policy/Policy+Coverage.swift`: the longest destination prefix first.
/// - `Classifier/PortRows.swift`: conditional bindings over all others of a prefix, in the order of the records.
/// - `Classifier/Trie.swift`, `Classifier/Handovers.swift` and `bpf-programs/classify.bpf.h`: the trie over the
///   destination address before the tries over source and interface (the cell kinds in `steering_abi.h`).
/// - `Diagnosis/Explanation.swift`: the reasons in words.
/// - `PolicyFiles/TubularDecoder.swift`: tubular's rules of precedence give the same result.
/// - In prose: `docs/ARCHITECTURE.md`, `docs/steer.md`, the help of `steer bind` in `steer/Bind.swift`.
public struct Precedence: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Length of the destination prefix in bits; longer is greater.
    public let prefixLength: Int
    /// Length of the source prefix in bits, 0 for any source; longer is greater.
    public let sourceLength: Int
    /// Whether the binding has an interface; true is greater.
    public let isOneInterface: Bool
    /// Number of ports, 1 to 65,536; fewer is greater.
    public let portCount: Int
    /// Whether the binding matches one protocol only; true is greater.
    public let isOneProtocol: Bool

    /// Compares prefix length, source length, interface, number of ports and protocols, in that order.
    public static func < (left: Precedence, right: Precedence) -> Bool {
        if left.prefixLength != right.prefixLength { return left.prefixLength < right.prefixLength }
        if left.sourceLength != right.sourceLength { return left.sourceLength < right.sourceLength }
        if left.isOneInterface != right.isOneInterface { return right.isOneInterface }
        if left.portCount != right.portCount { return left.portCount > right.portCount }
        return !left.isOneProtocol && right.isOneProtocol
    }

    /// A description such as `/24, from a /16, on an interface, 2 ports, one protocol`.
    public var description: String {
        let source = sourceLength == 0 ? "" : "from a /\(sourceLength), "
        let interface = isOneInterface ? "on an interface, " : ""
        let ports = "\(portCount) port\(portCount == 1 ? "" : "s")"
        return "/\(prefixLength), \(source)\(interface)\(ports), \(isOneProtocol ? "one protocol" : "both protocols")"
    }
}

extension Binding {
    /// The binding's precedence among the bindings that match a packet.
    public var precedence: Precedence {
        Precedence(
            prefixLength: prefix.length, sourceLength: condition.sourceLength, isOneInterface: interface != nil,
            portCount: ports.count, isOneProtocol: protocols != .both)
    }
}
