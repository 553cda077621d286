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
        bytes.bytes.withUnsafeBytes { bytes in
            // Where labels begin is known from the front, keys are made from the back.
            var labels = 0
            var offset = start
            while true {
                // Whoever gives a name that does not end has a bug; all labels before the end are in the bytes.
                precondition(offset >= 0 && offset < bytes.count && labels < slots.count)
                let length = Int(bytes[offset])
                if length == 0 { break }
                slots[labels].begin = offset
                labels += 1
                offset += 1 + length
            }
            var key = hasher.root
            slots[0].offset = offset
            depth = 0
            while depth < labels {
                depth += 1
                let begin = slots[labels - depth].begin
                key = key.child(bytes, begin)
                slots[depth].key = key
                slots[depth].offset = begin
            }
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
        let end = begin + 1 + Int(bytes[begin])
        while offset < end {
            var word: UInt64 = 0
            if offset + 8 <= bytes.count {
                word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian
                if end - offset < 8 { word &= UInt64.max >> UInt64(64 - 8 * (end - offset)) }
            } else {
                for index in offset..<end { word |= UInt64(bytes[index]) << UInt64(8 * (index - offset)) }
            }
            key = key.mixed(with: word.lowercased)
            offset += 8
        }
        return key
    }
}
