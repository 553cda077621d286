/// A resource record of class IN.
public struct ResourceRecord: Sendable, Hashable {
    /// The name that the record belongs to.
    public let owner: DNSName
    /// The type of the data.
    public let type: RecordType
    /// The time to live in seconds.
    public let ttl: UInt32
    /// The data in wire form; names in it are not compressed.
    public let data: [UInt8]

    /// Makes a record without checking that the data fits the type.
    ///
    /// - Parameters:
    ///   - owner: The name that the record belongs to.
    ///   - type: The type of the data.
    ///   - ttl: The time to live in seconds.
    ///   - data: The data in wire form, with uncompressed names: at most 65,535 bytes.
    public init(owner: DNSName, type: RecordType, ttl: UInt32, data: [UInt8]) {
        self.owner = owner
        self.type = type
        self.ttl = ttl
        self.data = data
    }
}
