import CLibBPF
import CSteering
import Glibc

/// The tables as the program sees them, mapped: the half in force, and the half that is being written.
///
/// Not safe to share: whoever writes holds the steering's lock.
final class PolicyMemory {
    private let memory: UnsafeMutablePointer<steering_policy>

    init(_ plane: DataPlane) throws(SteeringError) {
        let size = MemoryLayout<steering_policy>.size
        guard let mapped = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, plane[.policy], 0),
            mapped != MAP_FAILED
        else { throw .failed("mmap", Glibc.errno) }
        memory = mapped.bindMemory(to: steering_policy.self, capacity: 1)
    }

    /// The number of the policy in force. Another process may change it, unless the lock is held.
    var generation: UInt64 { csteering_generation(memory.pointer(to: \.generation)!) }

    /// The same for those who may only read, and so cannot map it.
    static func generation(_ plane: DataPlane) throws(SteeringError) -> UInt64 {
        var key: UInt32 = 0
        var policy = [UInt8](repeating: 0, count: MemoryLayout<steering_policy>.size)
        try call("bpf_map_lookup_elem(policy)", bpf_map_lookup_elem(plane[.policy], &key, &policy))
        return value(UInt64.self, in: policy[...])!
    }

    deinit { munmap(memory, MemoryLayout<steering_policy>.size) }

    /// Puts tables in force: all of them, in one step. When this returns, no packet is still being judged
    /// by the former ones, and their half is free for the next.
    ///
    /// - Parameter prepare: Called with the tables' generation before it is in force.
    /// - Throws: `missingCapability`, for large tables: pages are new maps, which CAP_BPF may create. The
    ///   tables in force have not changed then.
    func publish(
        _ tables: Tables, _ plane: DataPlane, prepare: (UInt64) throws(SteeringError) -> Void
    ) throws(SteeringError) {
        let former = generation
        let half = former & UInt64(STEERING_HALF) == 0 ? 1 : 0
        let offset = try writeFurtherPages(of: tables, half: half, plane)

        tables.first.withUnsafeBytes { words in
            let pages = UnsafeMutableRawPointer(memory) + Int(STEERING_POLICY_PAGES_AT)
            (pages + half * words.count).copyMemory(from: words.baseAddress!, byteCount: words.count)
            let header = pages + half * words.count + Int(STEERING_HEADER_AT) * 4
            header.assumingMemoryBound(to: steering_header.self).pointee.pages_offset = offset
        }
        let step = UInt64(STEERING_GENERATION_STEP)
        let count = ((former & ~STEERING_LARGE) / step + 1) * step
        let next = count | UInt64(half * Int(STEERING_HALF)) | (tables.isLarge ? STEERING_LARGE : 0)
        try prepare(next)
        csteering_publish(memory.pointer(to: \.generation)!, next)
        do throws(SteeringError) {
            try plane.waitForRuns()
        } catch {
            // For want of a few bytes of kernel memory. The former half is still whole.
            csteering_publish(memory.pointer(to: \.generation)!, former)
            throw error
        }
        if former & STEERING_LARGE != 0 { dropFurtherPages(half: half ^ 1, plane) }
    }

    /// Frees what a change that was cut short left behind in the half that is not in force, once no run of
    /// the program can be there.
    func recover(_ plane: DataPlane) throws(SteeringError) {
        try plane.waitForRuns()
        dropFurtherPages(half: generation & UInt64(STEERING_HALF) == 0 ? 1 : 0, plane)
    }

    /// Returns what a page's number is short of its slot.
    private func writeFurtherPages(of tables: Tables, half: Int, _ plane: DataPlane) throws(SteeringError)
        -> UInt32
    {
        let offset = UInt32(half * Int(STEERING_MAX_PAGES))
        var maps: [CInt] = []
        defer { for map in maps { close(map) } }  // The slots hold them.
        for page in 0..<tables.furtherPages {
            let map = csteering_create_page()
            if map == -EPERM { throw .cannotGrow }
            maps.append(try call("BPF_MAP_CREATE", map))
            var key: UInt32 = 0
            let result = tables.further.withUnsafeBufferPointer { words in
                bpf_map_update_elem(map, &key, words.baseAddress! + page * Int(STEERING_PAGE_WORDS), UInt64(BPF_ANY))
            }
            try call("bpf_map_update_elem(page)", result)
        }
        if !maps.isEmpty {
            // One batch: the kernel waits for running programs after each write to a map of maps.
            var slots = (1...UInt32(maps.count)).map { offset + $0 }
            var count = UInt32(maps.count)
            try call(
                "bpf_map_update_batch(pages)", bpf_map_update_batch(plane[.pages], &slots, &maps, &count, nil))
        }
        return offset
    }

    /// Frees the pages of the half that is no longer in force.
    private func dropFurtherPages(half: Int, _ plane: DataPlane) {
        var slots: [UInt32] = []
        for page in 1..<UInt32(STEERING_MAX_PAGES) {
            var slot = UInt32(half * Int(STEERING_MAX_PAGES)) + page
            var identifier: UInt32 = 0
            if bpf_map_lookup_elem(plane[.pages], &slot, &identifier) == 0 { slots.append(slot) }
        }
        var deleted = UInt32(slots.count)
        // Failure costs memory until the half is written again, nothing else.
        if deleted > 0 { _ = bpf_map_delete_batch(plane[.pages], &slots, &deleted, nil) }
    }
}

extension SteeringError {
    static let cannotGrow = SteeringError(
        .missingCapability,
        "tables of this size need pages that CAP_BPF may create, and this process no longer has it: keep CAP_BPF, or apply fewer bindings",
        cause: .systemCall("BPF_MAP_CREATE", errno: EPERM))
}
