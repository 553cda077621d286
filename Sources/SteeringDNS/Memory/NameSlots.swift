import CSteeringDNS
import Glibc

/// The slots of a table of names, initially zero. Lookups are random, so the memory is in huge pages if the system has
/// any: otherwise most lookups would need a page walk, too.
struct NameSlots: ~Copyable, @unchecked Sendable {
    /// The number of slots, eight for each cache line.
    let count: Int
    private let slots: UnsafeMutablePointer<UInt64>
    private var size: Int { count * MemoryLayout<UInt64>.stride }

    init(lines: Int) {
        precondition(lines > 0)
        count = 8 * lines
        let size = count * MemoryLayout<UInt64>.stride
        let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        // Arrays also end the process when there is no memory.
        guard let memory, memory != MAP_FAILED else { fatalError("out of memory for \(count) names") }
        madvise(memory, size, MADV_HUGEPAGE)
        slots = memory.bindMemory(to: UInt64.self, capacity: count)
    }

    deinit { munmap(slots, size) }

    subscript(index: Int) -> UInt64 {
        @inline(__always) get {
            precondition(index >= 0 && index < count)
            return slots[index]
        }
        @inline(__always) set {
            precondition(index >= 0 && index < count)
            slots[index] = newValue
        }
    }

    /// Prefetches a slot.
    @inline(__always)
    func prefetch(_ index: Int) { csdns_prefetch(slots + index) }
}
