/// The keys of a name and of all its ancestors.
///
/// It lives as long as its worker, in memory of its own: a Swift array would be asked on each write whether it is shared.
struct NameKeys: ~Copyable {
    private let hasher: NameHasher
    /// The number of labels: the greatest depth that counts.
    private(set) var depth = 0
    private let slots: UnsafeMutableBufferPointer<Slot>

    private struct Slot {
        /// The key of the ancestor of this depth.
        var key: NameKey
        /// Where the label begins that is the one of this number from the front.
        var begin: Int
    }

    init(_ hasher: NameHasher = .shared) {
        self.hasher = hasher
        // A name of 255 bytes has at most 127 labels.
        slots = .allocate(capacity: 128)
        slots.initialize(repeating: Slot(key: hasher.root, begin: 0))
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
        precondition(depth >= 0 && depth <= self.depth)
        return slots[self.depth - depth].begin
    }

    /// Takes a name in wire form, whole and without compression, that begins at an offset.
    mutating func read(_ bytes: Span<UInt8>, at start: Int) {
        guard readIfSound(bytes, at: start) != nil else { preconditionFailure("a name that is none was let in") }
    }

    /// Takes a name, as somebody sent it.
    ///
    /// - Returns: The offset behind it; nil if it has no end within 255 bytes, or is compressed. Then no name is taken.
    @inline(__always)
    mutating func readIfSound(_ bytes: Span<UInt8>, at start: Int) -> Int? {
        precondition(start >= 0)
        return bytes.bytes.withUnsafeBytes { bytes in
            // Where labels begin is known from the front, keys are made from the back.
            let limit = min(bytes.count, start + 255)
            var labels = 0
            var offset = start
            while true {
                guard offset < limit else { return nil }
                slots[labels].begin = offset
                let length = Int(bytes[offset])
                if length == 0 { break }
                guard length < 64 else { return nil }
                labels += 1
                offset += 1 + length
            }
            var key = hasher.root
            for depth in 1..<(labels + 1) {
                key = key.child(bytes, slots[labels - depth].begin)
                slots[depth].key = key
            }
            depth = labels
            return offset + 1
        }
    }
}

extension NameKey {
    /// The key of the name that a label, which begins with its length, makes with its parent.
    ///
    /// Eight bytes at a time go through two multiplications of full width that share no factor, as in wyhash (Wang Yi,
    /// 2019). The first byte is the label's length, so labels cannot run into each other; letters begin above all
    /// lengths, so it has no case.
    @inline(__always)
    fileprivate func child(_ bytes: UnsafeRawBufferPointer, _ begin: Int) -> NameKey {
        var key = self
        var offset = begin
        var length = 1 + Int(bytes[begin])
        while length > 0 {
            key = key.mixed(with: bytes.word(at: offset, length: min(length, 8)).lowercased)
            offset &+= 8
            length &-= 8
        }
        return key
    }
}
