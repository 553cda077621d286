extension Policy {
    /// Removes bindings: all of them, or none if one is missing.
    ///
    /// - Parameter bindings: The bindings to remove.
    /// - Throws: `unknownBinding`, suggesting the nearest binding.
    public mutating func unbind(each bindings: some Sequence<Binding>) throws(SteeringError) {
        var rest = self
        for binding in bindings {
            guard rest.unbind(binding) else { throw .unknownBinding(binding, nearest: rest.nearest(to: binding)) }
        }
        self = rest
    }

    /// Returns the existing binding that is most similar to a missing one; nil if none overlaps.
    ///
    /// A binding of the same prefix comes first, otherwise one of the longest prefix that overlaps; of several, the one
    /// that has most in common.
    package func nearest(to missing: Binding) -> Binding? {
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
