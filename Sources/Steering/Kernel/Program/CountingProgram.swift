import CLibBPF
import CSteering
import Glibc

/// The program `count` with its own tables, which give each binding of a policy a number, and with a counter per
/// binding.
struct CountingProgram: Sendable {
    private let program: SharedDescriptor
    private let counts: SharedDescriptor
    private let token: SharedDescriptor
    private let grace: SharedDescriptor
    private let bindings: Int

    /// Loads the program without attaching it.
    ///
    /// - Throws: `missingCapability` (CAP_BPF), `programRejected`.
    init(_ tables: Tables, bindings: Int) throws(SteeringError) {
        let loaded = try LoadedProgram.observing(
            "count", tables.size,
            maps: [
                LoadedProgram.Map(name: MapName.policy.inObject(tables.size)),
                LoadedProgram.Map(name: "counts", entries: max(1, bindings)),
                LoadedProgram.Map(name: MapName.token.rawValue), LoadedProgram.Map(name: MapName.grace.rawValue),
            ])
        program = loaded.program
        (counts, token, grace) = (loaded.maps[1], loaded.maps[2], loaded.maps[3])
        self.bindings = bindings
        try PolicyMemory.write(tables, to: loaded.maps[0])
    }

    func attach(to namespace: borrowing NetworkNamespace) throws(SteeringError) -> SharedDescriptor {
        try program.attach(to: namespace)
    }

    /// Replaces the program of a link. When this returns, the former program no longer counts.
    func replaceProgram(of link: SharedDescriptor) throws(SteeringError) {
        try program.replace(in: link)
        try SharedDescriptor.waitForRuns(grace.rawValue, token.rawValue)
    }

    /// Returns the number of packets that each binding decided, in the order of bindings.
    func packets() throws(SteeringError) -> [UInt64] {
        let counters = try PerCPUMap<UInt64>("counts", counts.rawValue, zero: 0)
        var packets: [UInt64] = []
        packets.reserveCapacity(bindings)
        for number in 0..<bindings {
            packets.append(try counters.values(UInt32(number)).reduce(0, &+))
        }
        return packets
    }
}
