import CSteeringDNS

extension NameTable {
    /// Whether names lie further away than it takes to ask for them twice.
    var isLarge: Bool { size > 1 << 20 }

    /// Has the place of a name fetched. Of a batch's names, all are on their way at once.
    @inline(__always)
    func prefetch(_ key: NameKey) {
        slots.withUnsafeBufferPointer { csdns_prefetch($0.baseAddress! + Self.home(of: key, $0.count)) }
    }
}
