/// The header of a DNS message (RFC 1035, section 4.1; RFC 6895).
enum Header {
    static let size = 12

    /// Bits of the third byte.
    static let response: UInt8 = 0x80
    static let opcode: UInt8 = 0x78
    static let authoritative: UInt8 = 0x04
    static let truncated: UInt8 = 0x02
    static let recursionDesired: UInt8 = 0x01
}

/// The response code of an answer (RFC 1035, 6891, 8945).
///
/// Values above 15 need an OPT record.
public enum ResponseCode: UInt16, Sendable, Hashable {
    /// NOERROR: success, including NODATA.
    case noError = 0
    /// FORMERR: the query is malformed.
    case formatError = 1
    /// SERVFAIL: the server failed.
    case serverFailure = 2
    /// NXDOMAIN: the name does not exist.
    case nameError = 3
    /// NOTIMP: this kind of query is not implemented.
    case notImplemented = 4
    /// REFUSED: not served here, or not to this client.
    case refused = 5
    /// YXDOMAIN: the name to which a DNAME record leads is too long (RFC 6672).
    case nameTooLong = 6
    /// NOTAUTH: the query is signed, and this server has no key (RFC 8945).
    case notAuthorized = 9
    /// BADVERS: an EDNS version other than 0.
    case badVersion = 16
}

/// Record classes.
enum RecordClass {
    static let internet: UInt16 = 1
    static let chaos: UInt16 = 3
    static let any: UInt16 = 255
}

/// The EDNS options that this server implements.
enum EDNSOption {
    static let nameServerIdentifier: UInt16 = 3
    static let clientSubnet: UInt16 = 8
    static let cookie: UInt16 = 10
}
