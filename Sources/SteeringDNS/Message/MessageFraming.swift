/// Takes messages out of a stream, in which each stands behind its length in two bytes (RFC 1035, section 4.2.2), however
/// the stream is cut into pieces.
///
/// It keeps what came and is not taken yet: who feeds it only after taking all whole messages keeps it below 64 KiB and
/// a piece.
public struct MessageFraming: Sendable {
    private var bytes: [UInt8] = []
    private var start = 0

    /// Makes an empty one.
    public init() {}

    /// How many bytes are kept.
    public var count: Int { bytes.count - start }

    /// Takes up what came.
    public mutating func append(_ piece: some Collection<UInt8>) {
        if start > 0 {
            bytes.removeFirst(start)
            start = 0
        }
        bytes += piece
    }

    /// The next message; nil until it is whole.
    public mutating func next() -> [UInt8]? {
        guard count >= 2 else { return nil }
        let end = start + 2 + (Int(bytes[start]) << 8 | Int(bytes[start + 1]))
        guard bytes.count >= end else { return nil }
        let message = Array(bytes[(start + 2)..<end])
        start = end
        if start == bytes.count {
            // A connection that is still takes up no room.
            bytes = []
            start = 0
        }
        return message
    }
}
