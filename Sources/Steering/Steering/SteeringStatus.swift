import CSteering

/// The state of a steering, as `steer status` shows it.
public struct SteeringStatus: Sendable {
    /// The state of one label.
    public struct LabelStatus: Sendable {
        /// The label.
        public let label: Label
        /// The number of bindings that lead to it.
        public let bindings: Int
        /// Its options.
        public let options: LabelOptions
        /// Its sockets, by destination, each followed by its stand-ins.
        public let sockets: [RegisteredSocket]
        /// Its counters, summed over both families and protocols.
        public let metrics: DestinationMetrics
    }

    /// Every label with a binding, a socket or options, in ascending order.
    public let labels: [LabelStatus]
    /// The number of bindings.
    public let bindings: Int
    /// How often a policy was put in force since the steering was attached or loaded.
    ///
    /// For a loaded steering, registering a socket for a label without a number counts too.
    public let changes: UInt64
    /// The counters, by destination.
    public let metrics: SteeringMetrics
}

extension SocketSteering {
    /// Returns policy, sockets and counters in one value.
    ///
    /// They are read one after the other, so a concurrent change may show in some of them only.
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
    /// The number of bindings that lead to each label.
    var bindingCounts: [Label: Int] {
        bindings.reduce(into: [:]) { counts, binding in
            if case .label(let label) = binding.outcome { counts[label, default: 0] += 1 }
        }
    }
}
