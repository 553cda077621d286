/// The type of a record, or of a question: a number, most of which have a name.
public struct RecordType: RawRepresentable, Sendable, Hashable {
    /// The number of the type, as it stands in a message.
    public let rawValue: UInt16

    /// Makes a type from its number; every number is one.
    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    private init(_ rawValue: UInt16) {
        self.rawValue = rawValue
    }
}

// The names are the registry's, in capitals as everybody writes them.
// swift-format-ignore: AlwaysUseLowerCamelCase
extension RecordType {
    /// An IPv4 address (RFC 1035).
    public static let A = RecordType(1)
    /// A name server of a zone (RFC 1035).
    public static let NS = RecordType(2)
    /// Another name for a name (RFC 1035).
    public static let CNAME = RecordType(5)
    /// The start of a zone's authority (RFC 1035).
    public static let SOA = RecordType(6)
    /// The name of an address (RFC 1035).
    public static let PTR = RecordType(12)
    /// A host's processor and system, today the short answer to ANY (RFC 8482).
    public static let HINFO = RecordType(13)
    /// A mail server (RFC 1035).
    public static let MX = RecordType(15)
    /// Text (RFC 1035).
    public static let TXT = RecordType(16)
    /// An IPv6 address (RFC 3596).
    public static let AAAA = RecordType(28)
    /// The host and port of a service (RFC 2782).
    public static let SRV = RecordType(33)
    /// A rule that rewrites names (RFC 3403).
    public static let NAPTR = RecordType(35)
    /// Another name for all names below one (RFC 6672).
    public static let DNAME = RecordType(39)
    /// EDNS in messages; never in a zone (RFC 6891).
    public static let OPT = RecordType(41)
    /// The digest of a delegated zone's key (RFC 4034).
    public static let DS = RecordType(43)
    /// The fingerprint of an SSH key (RFC 4255).
    public static let SSHFP = RecordType(44)
    /// A DNSSEC signature (RFC 4034).
    public static let RRSIG = RecordType(46)
    /// DNSSEC's proof that names do not exist (RFC 4034).
    public static let NSEC = RecordType(47)
    /// A DNSSEC key (RFC 4034).
    public static let DNSKEY = RecordType(48)
    /// DNSSEC's proof that names do not exist, by hash (RFC 5155).
    public static let NSEC3 = RecordType(50)
    /// How the hashes of NSEC3 are made (RFC 5155).
    public static let NSEC3PARAM = RecordType(51)
    /// The certificate of a TLS service (RFC 6698).
    public static let TLSA = RecordType(52)
    /// The DS that a zone asks its parent for (RFC 7344).
    public static let CDS = RecordType(59)
    /// The key of which a zone asks its parent for the DS (RFC 7344).
    public static let CDNSKEY = RecordType(60)
    /// Where and how a service is reached (RFC 9460).
    public static let SVCB = RecordType(64)
    /// Where and how an HTTP service is reached (RFC 9460).
    public static let HTTPS = RecordType(65)
    /// Establishes a transaction's key; only in messages (RFC 2930).
    public static let TKEY = RecordType(249)
    /// A transaction's signature; only in messages (RFC 8945).
    public static let TSIG = RecordType(250)
    /// The question for the changes of a zone (RFC 1995).
    public static let IXFR = RecordType(251)
    /// The question for a whole zone (RFC 5936).
    public static let AXFR = RecordType(252)
    /// The question for mailbox records, of historic interest (RFC 1035).
    public static let MAILB = RecordType(253)
    /// The question for mail agents, of historic interest (RFC 1035).
    public static let MAILA = RecordType(254)
    /// The question for whatever there is, `*` (RFC 1035, 8482).
    public static let ANY = RecordType(255)
    /// Who may issue certificates for a name (RFC 8659).
    public static let CAA = RecordType(257)

    private static let names: [RecordType: String] = [
        A: "A", NS: "NS", CNAME: "CNAME", SOA: "SOA", PTR: "PTR", HINFO: "HINFO", MX: "MX", TXT: "TXT", AAAA: "AAAA",
        SRV: "SRV", NAPTR: "NAPTR", DNAME: "DNAME", OPT: "OPT", DS: "DS", SSHFP: "SSHFP", RRSIG: "RRSIG",
        NSEC: "NSEC", DNSKEY: "DNSKEY", NSEC3: "NSEC3", NSEC3PARAM: "NSEC3PARAM", TLSA: "TLSA", CDS: "CDS",
        CDNSKEY: "CDNSKEY", SVCB: "SVCB", HTTPS: "HTTPS", TKEY: "TKEY", TSIG: "TSIG", IXFR: "IXFR", AXFR: "AXFR",
        MAILB: "MAILB", MAILA: "MAILA", ANY: "ANY", CAA: "CAA",
    ]

    private static let types: [String: RecordType] = Dictionary(
        uniqueKeysWithValues: names.map { ($0.value, $0.key) })
}

extension RecordType: CustomStringConvertible {
    /// The name of the type, such as `AAAA`, or `TYPE666` for one without (RFC 3597).
    public var description: String {
        RecordType.names[self] ?? "TYPE\(rawValue)"
    }

    /// Reads a type's name, or `TYPE` and a number, in either case of letters; nil for anything else.
    public init?(_ text: String) {
        // No name is longer than NSEC3PARAM, so a huge text costs nothing.
        guard text.utf8.count <= 10, text.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        let name = text.uppercased()
        if let type = RecordType.types[name] {
            self = type
            return
        }
        guard name.hasPrefix("TYPE"), name.utf8.dropFirst(4).allSatisfy(isDigit),
            let number = UInt16(name.dropFirst(4))
        else { return nil }
        self.init(number)
    }

    /// Whether the type stands in messages only: questions, and what rides along (RFC 6895, section 3.1).
    var isMeta: Bool { self == .OPT || (128...255).contains(rawValue) }

    /// Whether the type belongs to a signed zone. DS is none: it stands in the zone above, signed or not.
    var isForSignedZones: Bool {
        switch self {
        case .RRSIG, .NSEC, .DNSKEY, .NSEC3, .NSEC3PARAM, .CDS, .CDNSKEY: true
        default: false
        }
    }
}
