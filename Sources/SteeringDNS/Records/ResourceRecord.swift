/// A record of class IN.
public struct ResourceRecord: Sendable, Hashable {
    /// The name that the record is about.
    public let owner: DNSName
    /// What the record says about the name.
    public let type: RecordType
    /// For how many seconds a resolver may keep it.
    public let ttl: UInt32
    /// The record's data in wire form; names in it are not compressed.
    public let data: [UInt8]

    /// Makes a record of its parts; nothing checks that `data` is what the type asks for.
    public init(owner: DNSName, type: RecordType, ttl: UInt32, data: [UInt8]) {
        self.owner = owner
        self.type = type
        self.ttl = ttl
        self.data = data
    }
}
