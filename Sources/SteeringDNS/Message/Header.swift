/// The parts of a DNS message that have numbers (RFC 1035, section 4.1; RFC 6895).
enum Header {
    static let size = 12

    /// Bits of the third byte.
    static let response: UInt8 = 0x80
    static let opcode: UInt8 = 0x78
    static let authoritative: UInt8 = 0x04
    static let truncated: UInt8 = 0x02
    static let recursionDesired: UInt8 = 0x01
}

/// What an answer says of the query (RFC 1035, 6891, 7873). Values above 15 need an OPT record.
public enum ResponseCode: UInt16, Sendable, Hashable {
    /// All is well, also when there is no record of the type that was asked.
    case noError = 0
    /// The query is not one that can be read.
    case formatError = 1
    /// Something failed here.
    case serverFailure = 2
    /// There is no such name.
    case noSuchName = 3
    /// A kind of query that this server does not know.
    case notImplemented = 4
    /// Not answered here, or not to this client.
    case refused = 5
    /// A signed query for a server that has no key (RFC 8945).
    case notAuthorized = 9
    /// A version of EDNS other than 0.
    case badVersion = 16
}

/// Classes of records.
enum RecordClass {
    static let internet: UInt16 = 1
    static let chaos: UInt16 = 3
    static let any: UInt16 = 255
}

/// The options of EDNS that matter here.
enum EDNSOption {
    static let nameServerIdentifier: UInt16 = 3
    static let clientSubnet: UInt16 = 8
    static let cookie: UInt16 = 10
}
