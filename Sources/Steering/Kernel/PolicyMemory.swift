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
    /// by the former ones, and their half is free for the next. Until then it keeps its pages.
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
    }

    /// Goes on counting where the memory of a former program stopped. For fresh memory.
    func resume(after former: UInt64) {
        let step = UInt64(STEERING_GENERATION_STEP)
        csteering_publish(memory.pointer(to: \.generation)!, (former & ~STEERING_LARGE) / step * step)
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
        // Pages of this half's former tables make room for one that is there, or for an empty one: the kernel
        // deletes from maps of maps one by one only, and waits for running programs after each.
        let former = formerPages(from: offset, plane)
        if maps.isEmpty, former.distinct > 1 {
            let empty = csteering_create_page()
            if empty >= 0 { maps.append(empty) }  // Without CAP_BPF they stay: memory, nothing else.
        }
        guard !maps.isEmpty else { return offset }
        var slots = (1...UInt32(max(maps.count, former.count))).map { offset + $0 }
        var values = slots.indices.map { $0 < maps.count ? maps[$0] : maps[0] }
        var count = UInt32(slots.count)
        // One batch, for one wait.
        try call("bpf_map_update_batch(pages)", bpf_map_update_batch(plane[.pages], &slots, &values, &count, nil))
        return offset
    }

    /// How many slots of a half hold pages, and how many different ones.
    private func formerPages(from offset: UInt32, _ plane: DataPlane) -> (count: Int, distinct: Int) {
        var identifiers: [UInt32] = []
        for page in 1..<UInt32(STEERING_MAX_PAGES) {
            var slot = offset + page
            var identifier: UInt32 = 0
            guard bpf_map_lookup_elem(plane[.pages], &slot, &identifier) == 0 else { break }
            identifiers.append(identifier)
        }
        return (identifiers.count, Set(identifiers).count)
    }
}

extension SteeringError {
    static let cannotGrow = SteeringError(
        .missingCapability,
        "tables of this size need pages that CAP_BPF may create, and this process no longer has it: keep CAP_BPF, or apply fewer bindings",
        cause: .systemCall("BPF_MAP_CREATE", errno: EPERM))
}
