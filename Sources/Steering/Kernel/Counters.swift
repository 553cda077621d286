import CLibBPF
import CSteering
import Glibc

/// The per-CPU counters, read without locks and added up.
struct Counters {
    private let metrics: CInt
    private let verdicts: CInt
    private let cpus: Int

    init(_ plane: DataPlane) throws(SteeringError) {
        metrics = plane[.metrics]
        verdicts = plane[.verdicts]
        cpus = Int(try call("libbpf_num_possible_cpus", libbpf_num_possible_cpus()))
    }

    func destination(_ destination: UInt32) throws(SteeringError) -> DestinationMetrics {
        var values = [steering_metrics](repeating: steering_metrics(), count: cpus)
        var key = destination
        try call("bpf_map_lookup_elem(metrics)", bpf_map_lookup_elem(metrics, &key, &values))
        return values.reduce(into: DestinationMetrics()) { sum, value in
            sum.lookups &+= value.lookups
            sum.misses &+= value.misses
            sum.incompatible &+= value.incompatible
        }
    }

    /// Sets the counters of a label's destinations to zero.
    func reset(label number: UInt32) throws(SteeringError) {
        var values = [steering_metrics](repeating: steering_metrics(), count: cpus)
        for destination in 0..<UInt32(STEERING_DESTINATIONS_PER_LABEL) {
            var key = number * UInt32(STEERING_DESTINATIONS_PER_LABEL) + destination
            try call("bpf_map_update_elem(metrics)", bpf_map_update_elem(metrics, &key, &values, UInt64(BPF_ANY)))
        }
    }

    /// How many packets bindings without a label refused and passed.
    func withoutLabel() throws(SteeringError) -> (refused: UInt64, passed: UInt64) {
        var values = [steering_verdicts](repeating: steering_verdicts(), count: cpus)
        var key: UInt32 = 0
        try call("bpf_map_lookup_elem(verdicts)", bpf_map_lookup_elem(verdicts, &key, &values))
        return values.reduce(into: (0, 0)) { sum, value in
            sum.0 &+= value.refused
            sum.1 &+= value.passed
        }
    }
}
