/// The keys of a name and of all its ancestors.
///
/// It lives as long as its worker, in memory of its own: a Swift array would be asked on each write whether it is shared.
struct NameKeys: ~Copyable {
    private let hasher: NameHasher
    /// The number of labels: the greatest depth that counts.
    private(set) var depth = 0
    private let slots: UnsafeMutableBufferPointer<Slot>

    private struct Slot {
        /// The key of the ancestor of this depth, and where it begins.
        var key: NameKey
        var offset: Int
        /// Where the label begins that is the one of this number from the front.
        var begin: Int
    }

    init(_ hasher: NameHasher = .shared) {
        self.hasher = hasher
        // A name of 255 bytes has at most 127 labels.
        slots = .allocate(capacity: 128)
        slots.initialize(repeating: Slot(key: hasher.root, offset: 0, begin: 0))
    }

    deinit { slots.deallocate() }

    /// The name's own.
    var last: NameKey { self[depth] }

    /// That of the ancestor with so many labels; the root has none.
    @inline(__always)
    subscript(depth: Int) -> NameKey {
        precondition(depth >= 0 && depth < slots.count)
        return slots[depth].key
    }

    /// Where the name with so many labels begins.
    func offset(ofDepth depth: Int) -> Int {
        precondition(depth >= 0 && depth < slots.count)
        return slots[depth].offset
    }

    /// Takes a name in wire form, whole and without compression, that begins at an offset.
    mutating func read(_ bytes: Span<UInt8>, at start: Int) {
        // Where labels begin is known from the front, keys are made from the back.
        var labels = 0
        var offset = start
        while bytes[offset] != 0 {
            precondition(labels < slots.count - 1)
            slots[labels].begin = offset
            labels += 1
            offset += 1 + Int(bytes[offset])
        }
        depth = labels
        slots[0].offset = offset
        var key = hasher.root
        var depth = 0
        while depth < labels {
            depth += 1
            let begin = slots[labels - depth].begin
            key = hasher.key(of: begin..<(begin + 1 + Int(bytes[begin])), in: bytes, below: key)
            slots[depth].key = key
            slots[depth].offset = begin
        }
    }
}
