import CSteering

/// The counters of the steering program.
struct Counters {
    private let metrics: PerCPUMap<steering_metrics>
    private let verdicts: PerCPUMap<steering_verdicts>

    init(_ plane: DataPlane) throws(SteeringError) {
        metrics = try PerCPUMap("metrics", plane[.metrics], zero: steering_metrics())
        verdicts = try PerCPUMap("verdicts", plane[.verdicts], zero: steering_verdicts())
    }

    func destination(_ destination: UInt32) throws(SteeringError) -> DestinationMetrics {
        try metrics.values(destination).reduce(into: DestinationMetrics()) { sum, value in
            sum.lookups &+= value.lookups
            sum.misses &+= value.misses
            sum.incompatible &+= value.incompatible
        }
    }

    /// Resets the counters of a label's destinations.
    func reset(label number: UInt32) throws(SteeringError) {
        for destination in 0..<UInt32(STEERING_DESTINATIONS_PER_LABEL) {
            try metrics.reset(number * UInt32(STEERING_DESTINATIONS_PER_LABEL) + destination)
        }
    }

    /// Returns how many packets bindings without a label refused and passed.
    func withoutLabel() throws(SteeringError) -> (refused: UInt64, passed: UInt64) {
        try verdicts.values(0).reduce(into: (0, 0)) { sum, value in
            sum.0 &+= value.refused
            sum.1 &+= value.passed
        }
    }
}
