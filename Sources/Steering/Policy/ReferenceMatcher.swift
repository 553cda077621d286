/// The definition of a policy's semantics: of the bindings that match a packet, the one with the greatest precedence
/// decides.
///
/// Simple and slow. The BPF program must agree with it on every packet, which tests verify. ``Explanation`` uses it.
package struct ReferenceMatcher {
    private let bindings: [Binding]

    package init(_ policy: Policy) {
        bindings = policy.bindings.sorted { $0.precedence > $1.precedence }
    }

    /// The matching bindings, the deciding one first.
    package func candidates(for packet: Packet) -> [Binding] {
        bindings.filter { $0.matches(packet) }
    }

    /// The bindings that match any of several views of a packet, the deciding one first.
    func candidates(forAnyOf views: [Packet]) -> [Binding] {
        bindings.filter { binding in views.contains { binding.matches($0) } }
    }

    /// The deciding binding; nil if no binding matches.
    package func winner(for packet: Packet) -> Binding? {
        bindings.first { $0.matches(packet) }
    }
}
