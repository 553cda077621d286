extension Policy {
    /// Removes bindings: all of them or, when one is not there, none.
    ///
    /// - Throws: `unknownBinding`, with the binding that was likely meant.
    public mutating func unbind(each bindings: some Sequence<Binding>) throws(SteeringError) {
        var rest = self
        for binding in bindings {
            guard rest.unbind(binding) else { throw .unknownBinding(binding, nearest: rest.nearest(to: binding)) }
        }
        self = rest
    }

    /// The binding that is most like one that is not there: of the same prefix, or else of the longest
    /// prefix that overlaps; of those the one that has most in common. Nil where none overlaps.
    public func nearest(to missing: Binding) -> Binding? {
        func likeness(_ binding: Binding) -> (Int, Int, Int) {
            let inCommon =
                (binding.outcome == missing.outcome ? 1 : 0) + (binding.protocols == missing.protocols ? 1 : 0)
                + (binding.source == missing.source ? 1 : 0) + (binding.interface == missing.interface ? 1 : 0)
                + (binding.ports == missing.ports ? 2 : binding.ports.overlaps(missing.ports) ? 1 : 0)
            return (binding.prefix == missing.prefix ? 1 : 0, binding.prefix.length, inCommon)
        }
        return bindings.lazy.filter { $0.prefix.overlaps(missing.prefix) }
            .map { (likeness($0), $0) }.max { $0.0 < $1.0 }?.1
    }
}

extension SteeringError {
    static func unknownBinding(_ binding: Binding, nearest: Binding?) -> SteeringError {
        let remedy = nearest.map { "the nearest is '\($0)'" } ?? "no binding overlaps \(binding.prefix)"
        return SteeringError(
            .unknownBinding, "binding '\(binding)' is not in the policy, so it cannot be removed: \(remedy)")
    }
}
