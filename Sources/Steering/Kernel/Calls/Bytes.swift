/// Converts words to little-endian bytes and back, with a single copy.
enum Bytes {
    /// Returns the words as little-endian bytes.
    static func bytes(of words: [UInt64]) -> [UInt8] {
        (UInt64(1).littleEndian == 1 ? words : words.map(\.littleEndian)).withUnsafeBytes { Array($0) }
    }

    /// Returns the words in little-endian bytes. Ignores bytes beyond the last whole word.
    static func words(of bytes: [UInt8]) -> [UInt64] {
        let count = bytes.count / 8
        let words = [UInt64](unsafeUninitializedCapacity: count) { words, initialized in
            bytes.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(words).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: $0[..<(count * 8)]))
            }
            initialized = count
        }
        return UInt64(1).littleEndian == 1 ? words : words.map(UInt64.init(littleEndian:))
    }
}
