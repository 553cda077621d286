/// The definition of what a policy means: of all bindings that match, the one of greatest precedence.
///
/// Slow and short. The program must agree with it on every packet; tests compare the two, and
/// explanations come from it.
package struct ReferenceMatcher {
    private let bindings: [Binding]

    package init(_ policy: Policy) {
        bindings = policy.bindings.sorted { $0.precedence > $1.precedence }
    }

    /// The matching bindings, the one that decides first.
    package func candidates(for packet: Packet) -> [Binding] {
        bindings.filter { $0.matches(packet) }
    }

    /// The bindings that match one of several views of a packet.
    func candidates(forAnyOf views: [Packet]) -> [Binding] {
        bindings.filter { binding in views.contains { binding.matches($0) } }
    }

    /// The binding that decides, or nil for a packet that is not ours.
    package func winner(for packet: Packet) -> Binding? {
        bindings.first { $0.matches(packet) }
    }
}
