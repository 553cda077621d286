import CLibBPF
import CSteering
import Glibc

/// The mapped memory of the program's tables: the half in force, and the half for the next policy.
///
/// Not safe to share between threads. To write, hold the steering's lock.
final class PolicyMemory {
    /// The size of one half.
    let size: TableSize
    private let memory: UnsafeMutableRawPointer
    /// Whether runs of the program may still read the half that is not in force, because a change was rolled back.
    private var isHalfInUse = false

    init(_ plane: DataPlane) throws(SteeringError) {
        defer { withExtendedLifetime(plane) {} }
        size = try TableSize(ofTablesIn: plane[.policy])
        memory = try Self.map(plane[.policy], 2 * size.bytes)
        if plane.hasIngressInterface == false { csteering_publish(generationInMemory, generation | Self.flags) }
    }

    private static func map(_ map: CInt, _ size: Int) throws(SteeringError) -> UnsafeMutableRawPointer {
        var mapped: UnsafeMutableRawPointer?
        try systemCall("mmap") {
            mapped = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0)
            return mapped == MAP_FAILED ? -1 : 0
        }
        return mapped!
    }

    private static let flags = UInt64(STEERING_IGNORES_INTERFACES)

    /// Returns the offset of the half in force, in bytes.
    private static func half(_ generation: UInt64) -> Int {
        Int(UInt32(truncatingIfNeeded: generation & ~flags))
    }

    /// Whether the kernel does not pass the ingress interface to the program.
    var ignoresInterfaces: Bool { generation & Self.flags != 0 }

    deinit { munmap(memory, 2 * size.bytes) }

    private var header: UnsafeMutablePointer<steering_header> {
        memory.assumingMemoryBound(to: steering_header.self)
    }

    private var generationInMemory: UnsafeMutablePointer<UInt64> { header.pointer(to: \.generation)! }

    /// The number of the policy in force. Another process may change it unless this one holds the lock.
    var generation: UInt64 { csteering_generation(generationInMemory) }

    /// The status of the tables in force.
    var tables: TablesStatus {
        let half = Self.half(generation)
        let header = (memory + half).assumingMemoryBound(to: steering_header.self).pointee
        return TablesStatus(header, memory: 2 * size.bytes)
    }

    /// Returns the generation for readers, who cannot map the memory, from a copy of it; works with any layout.
    static func generation(_ plane: DataPlane) throws(SteeringError) -> UInt64 {
        value(UInt64.self, in: try copy(plane)[...])!
    }

    /// Returns how many policies have been put in force.
    static func changes(_ plane: DataPlane) throws(SteeringError) -> UInt64 {
        try generation(plane) >> UInt64(STEERING_GENERATION_SHIFT)
    }

    static func tables(_ plane: DataPlane) throws(SteeringError) -> TablesStatus {
        let copy = try copy(plane)
        let half = Self.half(value(UInt64.self, in: copy[...])!)
        guard half < copy.count, let header = value(steering_header.self, in: copy[half...]) else {
            throw .noTables
        }
        return TablesStatus(header, memory: copy.count)
    }

    private static func copy(_ plane: DataPlane) throws(SteeringError) -> [UInt8] {
        defer { withExtendedLifetime(plane) {} }
        let shape = try MapShape(plane[.policy])
        guard shape.valueSize >= MemoryLayout<steering_header>.size else { throw .noTables }
        var key: UInt32 = 0
        var bytes = [UInt8](repeating: 0, count: shape.valueSize)
        try call("bpf_map_lookup_elem(policy)") { bpf_map_lookup_elem(plane[.policy], &key, &bytes) }
        return bytes
    }

    /// Puts tables in force, in one step. When this returns, no packet is still being classified by the former tables,
    /// and their half is free.
    ///
    /// - Parameters:
    ///   - tables: The compiled tables, which fit one half.
    ///   - plane: The data plane to which this memory belongs.
    ///   - prepare: Called with the new generation before it takes effect.
    /// - Throws: `systemCall`, with the former tables in force again; the errors of `prepare`.
    func publish(
        _ tables: Tables, _ plane: DataPlane, prepare: (UInt64) throws(SteeringError) -> Void
    ) throws(SteeringError) {
        if isHalfInUse { try plane.waitForRuns() }
        isHalfInUse = false
        let former = generation
        let half = Self.half(former) == 0 ? size.bytes : 0
        tables.words.withUnsafeBytes { bytes in
            // Skip the generation, which only the first half has.
            let skipped = MemoryLayout<UInt64>.size
            (memory + half + skipped).copyMemory(
                from: bytes.baseAddress! + skipped, byteCount: bytes.count - skipped)
        }
        let count = former >> UInt64(STEERING_GENERATION_SHIFT) + 1
        let next = count << UInt64(STEERING_GENERATION_SHIFT) | UInt64(half) | former & Self.flags
        try prepare(next)
        csteering_publish(generationInMemory, next)
        do throws(SteeringError) {
            try plane.waitForRuns()
        } catch {
            // The wait failed for lack of a few bytes of kernel memory. The former half is still intact.
            csteering_publish(generationInMemory, former)
            isHalfInUse = true
            throw error
        }
    }

    /// Writes tables into the fresh memory of a program that is not attached yet.
    static func write(_ tables: Tables, to map: SharedDescriptor) throws(SteeringError) {
        let size = tables.size.bytes
        let mapped = try map.lend { descriptor throws(SteeringError) in try Self.map(descriptor, size) }
        tables.words.withUnsafeBytes { mapped.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        munmap(mapped, size)
    }

    /// Continues the count of policies of a former program. Only for fresh memory.
    func resume(after former: UInt64) {
        let count = former >> UInt64(STEERING_GENERATION_SHIFT)
        csteering_publish(generationInMemory, count << UInt64(STEERING_GENERATION_SHIFT) | generation & Self.flags)
    }
}
