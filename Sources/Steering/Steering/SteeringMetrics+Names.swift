extension SteeringMetrics {
    /// The metrics as which `steer metrics` and SteeringNIO export the counters and the status.
    package enum Name: String {
        /// These have the labels ``Destination/metricLabels``.
        case lookups = "steering_lookups_total"
        case misses = "steering_misses_total"
        case incompatible = "steering_incompatible_total"
        case sockets = "steering_sockets"
        /// These have no labels.
        case refused = "steering_refused_total"
        case passed = "steering_passed_total"
        case bindings = "steering_bindings"
        case policyChanges = "steering_policy_changes_total"

        /// What the metric counts, for users.
        package var help: String {
            switch self {
            case .lookups: "Packets whose binding leads to the destination."
            case .misses: "Lookups that found no socket."
            case .incompatible: "Lookups whose socket the kernel did not take."
            case .sockets: "Registered sockets."
            case .refused: "Packets that a binding refused."
            case .passed: "Packets that a binding let pass."
            case .bindings: "Bindings in force."
            case .policyChanges: "Changes of the policy."
            }
        }
    }
}

extension Destination {
    /// The labels of its metrics.
    package var metricLabels: [(name: String, value: String)] {
        [("label", label.name), ("family", family.description), ("protocol", transport.description)]
    }
}
