/// The type of a record or a question: a 16-bit number.
public struct RecordType: RawRepresentable, Sendable, Hashable {
    /// The number.
    public let rawValue: UInt16

    /// Makes a type from any number.
    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    private init(_ rawValue: UInt16) {
        self.rawValue = rawValue
    }
}

// The names are those of the IANA registry, in capitals as is common.
// swift-format-ignore: AlwaysUseLowerCamelCase
extension RecordType {
    /// An IPv4 address (RFC 1035).
    public static let A = RecordType(1)
    /// A name server of a zone (RFC 1035).
    public static let NS = RecordType(2)
    /// The canonical name of an alias (RFC 1035).
    public static let CNAME = RecordType(5)
    /// The start of a zone of authority (RFC 1035).
    public static let SOA = RecordType(6)
    /// A pointer from an address to a name (RFC 1035).
    public static let PTR = RecordType(12)
    /// A host's hardware and operating system; today the minimal answer to ANY (RFC 8482).
    public static let HINFO = RecordType(13)
    /// A mail exchanger (RFC 1035).
    public static let MX = RecordType(15)
    /// Text strings (RFC 1035).
    public static let TXT = RecordType(16)
    /// A signature of the first DNSSEC; obsolete (RFC 2535).
    public static let SIG = RecordType(24)
    /// An IPv6 address (RFC 3596).
    public static let AAAA = RecordType(28)
    /// Proof of nonexistence of the first DNSSEC; obsolete (RFC 2535).
    public static let NXT = RecordType(30)
    /// The host and port of a service (RFC 2782).
    public static let SRV = RecordType(33)
    /// A rule that rewrites names, such as telephone numbers (RFC 3403).
    public static let NAPTR = RecordType(35)
    /// An alias for all names below a name (RFC 6672).
    public static let DNAME = RecordType(39)
    /// EDNS in messages; never in a zone (RFC 6891).
    public static let OPT = RecordType(41)
    /// The digest of a delegated zone's key (RFC 4034).
    public static let DS = RecordType(43)
    /// The fingerprint of an SSH host key (RFC 4255).
    public static let SSHFP = RecordType(44)
    /// A DNSSEC signature (RFC 4034).
    public static let RRSIG = RecordType(46)
    /// DNSSEC proof of nonexistence (RFC 4034).
    public static let NSEC = RecordType(47)
    /// A DNSSEC public key (RFC 4034).
    public static let DNSKEY = RecordType(48)
    /// DNSSEC proof of nonexistence with hashed names (RFC 5155).
    public static let NSEC3 = RecordType(50)
    /// The hash parameters of NSEC3 (RFC 5155).
    public static let NSEC3PARAM = RecordType(51)
    /// The association of a TLS certificate with a service (RFC 6698).
    public static let TLSA = RecordType(52)
    /// The association of an S/MIME certificate with a mailbox (RFC 8162).
    public static let SMIMEA = RecordType(53)
    /// The DS that a child zone requests from its parent (RFC 7344).
    public static let CDS = RecordType(59)
    /// The key whose DS a child zone requests from its parent (RFC 7344).
    public static let CDNSKEY = RecordType(60)
    /// A digest of the whole zone (RFC 8976).
    public static let ZONEMD = RecordType(63)
    /// Where and how a service is reached (RFC 9460).
    public static let SVCB = RecordType(64)
    /// Where and how an HTTP service is reached (RFC 9460).
    public static let HTTPS = RecordType(65)
    /// The establishment of a transaction key; only in messages (RFC 2930).
    public static let TKEY = RecordType(249)
    /// The signature of a transaction; only in messages (RFC 8945).
    public static let TSIG = RecordType(250)
    /// A request for an incremental zone transfer (RFC 1995).
    public static let IXFR = RecordType(251)
    /// A request for a full zone transfer (RFC 5936).
    public static let AXFR = RecordType(252)
    /// A query for mailbox records; obsolete (RFC 1035).
    public static let MAILB = RecordType(253)
    /// A query for mail agent records; obsolete (RFC 1035).
    public static let MAILA = RecordType(254)
    /// A query for any type, `*` (RFC 1035, RFC 8482).
    public static let ANY = RecordType(255)
    /// The URI of a service (RFC 7553).
    public static let URI = RecordType(256)
    /// The certification authorities that may issue certificates for a name (RFC 8659).
    public static let CAA = RecordType(257)
    /// The digest of a zone's key outside of its parent; obsolete (RFC 4431).
    public static let DLV = RecordType(32769)
}

extension RecordType: CustomStringConvertible {
    /// The name of the type, such as `AAAA`, or `TYPE666` for a type without a name (RFC 3597).
    public var description: String {
        RecordTable.rows[rawValue]?.name ?? "TYPE\(rawValue)"
    }

    /// Parses the name of a type.
    ///
    /// - Parameter text: A name, or `TYPE` and a decimal number up to 65535, in either case. Nil for any other text.
    public init?(_ text: String) {
        // The longest names are NSEC3PARAM and OPENPGPKEY; longer texts are rejected early.
        guard text.utf8.count <= 10, text.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        let name = text.uppercased()
        if let number = RecordTable.numbers[name] {
            self.init(number)
            return
        }
        guard name.hasPrefix("TYPE"), name.utf8.dropFirst(4).allSatisfy(isDigit),
            let number = UInt16(name.dropFirst(4))
        else { return nil }
        self.init(number)
    }

    /// Whether the type appears only in messages: query types and meta-types, and 0 (RFC 6895, section 3.1).
    var isMeta: Bool { self == .OPT || rawValue == 0 || (128...255).contains(rawValue) }

    /// Whether the type belongs to a signed zone: those of RFC 4034 and RFC 5155, and their predecessors of RFC 2535. DS
    /// does not, since it is in the parent zone, signed or not; nor do CDS and CDNSKEY, which ask the parent for it.
    var isForSignedZones: Bool {
        switch self {
        case .SIG, .NXT, .RRSIG, .NSEC, .DNSKEY, .NSEC3, .NSEC3PARAM: true
        default: false
        }
    }
}
