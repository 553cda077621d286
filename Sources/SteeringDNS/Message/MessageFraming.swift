/// Splits a byte stream into messages, each of which follows its length in two bytes (RFC 1035, section 4.2.2).
///
/// Bytes are kept until the message that they belong to is taken. If ``next()`` is called until it returns nil after
/// each ``append(_:)``, at most 64 KiB and one piece are kept.
public struct MessageFraming: Sendable {
    private var bytes: [UInt8] = []
    private var start = 0

    /// Makes an empty buffer.
    public init() {}

    /// The number of bytes kept.
    public var count: Int { bytes.count - start }

    /// Appends bytes received from the stream.
    ///
    /// - Parameter piece: Any number of bytes, split anywhere.
    public mutating func append(_ piece: some Collection<UInt8>) {
        if start > 0 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes += piece
    }

    /// Removes and returns the next message.
    ///
    /// - Returns: The message without its length prefix; nil until it is complete.
    public mutating func next() -> [UInt8]? {
        guard count >= 2 else { return nil }
        let end = start + 2 + (Int(bytes[start]) << 8 | Int(bytes[start + 1]))
        guard bytes.count >= end else { return nil }
        let message = Array(bytes[(start + 2)..<end])
        start = end
        if start == bytes.count {
            // Idle connections hold no memory.
            bytes = []
            start = 0
        }
        return message
    }
}
