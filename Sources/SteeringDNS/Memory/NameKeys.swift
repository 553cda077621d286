/// The keys of a name and of all its ancestors.
///
/// Lives as long as its worker and owns its memory: a Swift array would check for uniqueness on every write.
struct NameKeys: ~Copyable {
    private let hasher: NameHasher
    /// The number of labels.
    private(set) var depth = 0
    private let slots: UnsafeMutableBufferPointer<Slot>

    private struct Slot {
        /// The key of the ancestor with this number of labels.
        var key: NameKey
        /// The offset of the label with this index, counted from the front.
        var begin: Int
    }

    init(_ hasher: NameHasher = .shared) {
        self.hasher = hasher
        // A name of 255 bytes has at most 127 labels, and the root.
        slots = .allocate(capacity: 128)
        slots.initialize(repeating: Slot(key: hasher.root, begin: 0))
    }

    deinit { slots.deallocate() }

    /// The key of the name itself.
    var last: NameKey { self[depth] }

    /// The key of the ancestor with a number of labels; 0 for the root.
    @inline(__always)
    subscript(depth: Int) -> NameKey {
        precondition(depth >= 0 && depth < slots.count)
        return slots[depth].key
    }

    /// Returns the offset of the ancestor with a number of labels.
    func offset(ofDepth depth: Int) -> Int {
        precondition(depth >= 0 && depth <= self.depth)
        return slots[self.depth - depth].begin
    }

    /// Reads the uncompressed name at an offset, which must be valid.
    mutating func read(_ bytes: Span<UInt8>, at start: Int) {
        guard readIfSound(bytes, at: start) != nil else { preconditionFailure("an invalid name was not rejected") }
    }

    /// Reads the name at an offset in a message from outside.
    ///
    /// - Returns: The offset after the name; nil if it is compressed, or does not end within 255 bytes. Then the keys
    ///   are unusable.
    @inline(__always)
    mutating func readIfSound(_ bytes: Span<UInt8>, at start: Int) -> Int? {
        precondition(start >= 0)
        return bytes.bytes.withUnsafeBytes { bytes in
            // One pass from the front finds the labels, one from the back makes the keys.
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
    /// Returns the key of a name from its parent's key and its first label, which starts with its length byte.
    ///
    /// Each 8 bytes go through two full-width multiplications by coprime constants, as in wyhash (Wang Yi, 2019). The
    /// length byte keeps labels from running into each other. It is below all letters, so folding the case leaves it
    /// alone.
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
