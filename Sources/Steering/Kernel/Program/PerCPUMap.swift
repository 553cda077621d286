import CLibBPF
import CSteering

/// An array map with one value per CPU, which the caller adds up. Reading takes no lock.
struct PerCPUMap<Value: BitwiseCopyable & Sendable>: Sendable {
    private let name: String
    private let map: CInt
    private let zeros: [Value]

    /// Prepares to read a map.
    ///
    /// - Parameters:
    ///   - name: The name of the map, for errors.
    ///   - map: The descriptor, borrowed.
    ///   - zero: The initial value.
    /// - Throws: `systemCall`.
    init(_ name: String, _ map: CInt, zero: Value) throws(SteeringError) {
        let cpus = try call("libbpf_num_possible_cpus") { csteering_possible_cpus() }
        self.name = name
        self.map = map
        zeros = [Value](repeating: zero, count: Int(cpus))
    }

    /// Returns the values of an entry, one per CPU.
    func values(_ key: UInt32) throws(SteeringError) -> [Value] {
        var key = key, values = zeros
        try call("bpf_map_lookup_elem(\(name))") { bpf_map_lookup_elem(map, &key, &values) }
        return values
    }

    func reset(_ key: UInt32) throws(SteeringError) {
        var key = key, zeros = zeros
        try call("bpf_map_update_elem(\(name))") { bpf_map_update_elem(map, &key, &zeros, UInt64(BPF_ANY)) }
    }
}
