import CLibBPF
import CSteering
import Glibc

/// The tables as the program sees them, mapped: the half in force, and the half that is being written.
///
/// Not safe to share: whoever writes holds the steering's lock.
final class PolicyMemory {
    /// Of a half.
    let size: TableSize
    private let memory: UnsafeMutableRawPointer
    /// Whether the half that is not in force may still be read: a change was taken back.
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

    /// How far the half in force is from the first.
    private static func half(_ generation: UInt64) -> Int {
        Int(UInt32(truncatingIfNeeded: generation & ~flags))
    }

    /// Whether the program is one for kernels that do not tell it on which interface a packet arrives.
    var ignoresInterfaces: Bool { generation & Self.flags != 0 }

    deinit { munmap(memory, 2 * size.bytes) }

    private var header: UnsafeMutablePointer<steering_header> {
        memory.assumingMemoryBound(to: steering_header.self)
    }

    private var generationInMemory: UnsafeMutablePointer<UInt64> { header.pointer(to: \.generation)! }

    /// The number of the policy in force. Another process may change it, unless the lock is held.
    var generation: UInt64 { csteering_generation(generationInMemory) }

    /// What the tables in force hold.
    var tables: TablesStatus {
        let half = Self.half(generation)
        let header = (memory + half).assumingMemoryBound(to: steering_header.self).pointee
        return TablesStatus(header, memory: 2 * size.bytes)
    }

    /// The same for those who may only read, and so cannot map it: a copy of the memory, whatever its layout.
    static func generation(_ plane: DataPlane) throws(SteeringError) -> UInt64 {
        value(UInt64.self, in: try copy(plane)[...])!
    }

    /// How many policies were put in force.
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

    /// Puts tables in force: all of them, in one step. When this returns, no packet is still being judged
    /// by the former ones, and their half is free for the next.
    ///
    /// - Parameter prepare: Called with the tables' generation before it is in force.
    func publish(
        _ tables: Tables, _ plane: DataPlane, prepare: (UInt64) throws(SteeringError) -> Void
    ) throws(SteeringError) {
        if isHalfInUse { try plane.waitForRuns() }
        isHalfInUse = false
        let former = generation
        let half = Self.half(former) == 0 ? size.bytes : 0
        tables.words.withUnsafeBytes { bytes in
            // The generation is not theirs.
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
            // For want of a few bytes of kernel memory. The former half is still whole.
            csteering_publish(generationInMemory, former)
            isHalfInUse = true
            throw error
        }
    }

    /// Writes tables into fresh memory, of a program that is not attached yet.
    static func write(_ tables: Tables, to map: SharedDescriptor) throws(SteeringError) {
        let size = tables.size.bytes
        let mapped = try map.lend { descriptor throws(SteeringError) in try Self.map(descriptor, size) }
        tables.words.withUnsafeBytes { mapped.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        munmap(mapped, size)
    }

    /// Goes on counting where the memory of a former program stopped. For fresh memory.
    func resume(after former: UInt64) {
        let count = former >> UInt64(STEERING_GENERATION_SHIFT)
        csteering_publish(generationInMemory, count << UInt64(STEERING_GENERATION_SHIFT) | generation & Self.flags)
    }
}
