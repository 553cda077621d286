import CSteering

/// A steering at one moment: what `steer status` shows.
public struct SteeringStatus: Sendable {
    /// One label.
    public struct LabelStatus: Sendable {
        /// The label.
        public let label: Label
        /// How many bindings lead to it.
        public let bindings: Int
        /// How it behaves.
        public let options: LabelOptions
        /// Its sockets, stand-ins behind the one they stand in for.
        public let sockets: [RegisteredSocket]
        /// Its counters, over both families and protocols.
        public let metrics: DestinationMetrics
    }

    /// Every label that a binding or a socket names, in order.
    public let labels: [LabelStatus]
    /// How many bindings there are.
    public let bindings: Int
    /// How often the policy has changed since the steering was attached or loaded.
    public let changes: UInt64
    /// The counters, by destination.
    public let metrics: SteeringMetrics
}

extension SocketSteering {
    /// Policy, sockets and counters in one value.
    ///
    /// - Throws: As ``metrics()``.
    public func status() throws(SteeringError) -> SteeringStatus {
        let metrics = try metrics()
        let sockets = Dictionary(grouping: try self.sockets.list(), by: \.destination.label)
        return try reading { state throws(SteeringError) in
            let counts = state.policy.bindingCounts
            let names = Set(state.numbers.labels).union(sockets.keys).sorted()
            let labels = names.filter { counts[$0] != nil || sockets[$0] != nil || state.policy.options[$0] != nil }
            return SteeringStatus(
                labels: labels.map { label in
                    let all = Destination.all(of: label).compactMap { metrics.destinations[$0] }
                    return SteeringStatus.LabelStatus(
                        label: label, bindings: counts[label] ?? 0, options: state.policy[label],
                        sockets: sockets[label] ?? [], metrics: all.reduce(DestinationMetrics(), +))
                },
                bindings: state.policy.count,
                changes: state.generation >> UInt64(STEERING_GENERATION_SHIFT), metrics: metrics)
        }
    }
}

extension DestinationMetrics {
    static func + (left: DestinationMetrics, right: DestinationMetrics) -> DestinationMetrics {
        DestinationMetrics(
            lookups: left.lookups &+ right.lookups, misses: left.misses &+ right.misses,
            incompatible: left.incompatible &+ right.incompatible)
    }
}

extension Policy {
    /// How many bindings lead to each label.
    var bindingCounts: [Label: Int] {
        bindings.reduce(into: [:]) { counts, binding in
            if case .label(let label) = binding.outcome { counts[label, default: 0] += 1 }
        }
    }
}
