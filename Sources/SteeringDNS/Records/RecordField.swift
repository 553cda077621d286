/// A field in the data of a record type. Parsing, printing, checking and comparing all follow one table of fields.
struct RecordField {
    /// The name of the field in errors.
    let name: String
    let form: Form

    enum Form {
        /// An integer of this many bytes.
        case number(Int)
        /// An integer of this many bytes, for which some values have names.
        case named(Int, Mnemonics)
        /// A 4-byte number of seconds; zone files may use units, as in `1h30m`.
        case seconds
        case ipv4
        case ipv6
        /// An uncompressed domain name.
        case domain
        /// A character string: a length byte and at most 255 bytes.
        case string
        /// A character string at the end, or nothing.
        case optionalString
        /// One or more character strings, to the end.
        case strings
        /// A length byte, then letters and digits.
        case tag
        /// Text without a length, to the end.
        case text
        /// Bytes written in hexadecimal, to the end.
        case digest
        /// Bytes written in Base64, to the end.
        case base64(mayBeEmpty: Bool)
        /// This many groups of hexadecimal digits, of this many bytes each, with a separator in between.
        case groups(count: Int, bytes: Int, separator: UInt8)
        /// An address of the kind that the byte at this offset of the data gives: nothing, an IPv4 address, an IPv6
        /// address or a domain name (RFC 4025).
        case gateway(kindAt: Int)
        /// Any number of uncompressed domain names, to the end.
        case domains
        /// An algorithm, a tag and a key, with their lengths in front (RFC 8005).
        case hostIdentity
        /// A place on Earth (RFC 1876).
        case location
        /// An address of the OSI network layer (RFC 1706).
        case networkServicePoint
        /// Address prefixes, to the end (RFC 3123).
        case prefixes
        /// A protocol and the bits of its ports, to the end (RFC 1035).
        case services
        /// The bits of record types, to the end (RFC 4034, section 4.1.2).
        case types
        /// Service parameters, to the end (RFC 9460).
        case parameters
    }

    init(_ name: String, _ form: Form) {
        self.name = name
        self.form = form
    }

    /// Whether the field may be left out at the end of a record.
    var mayBeEmpty: Bool {
        switch form {
        case .optionalString, .base64(mayBeEmpty: true), .domains, .prefixes, .types, .parameters: true
        default: false
        }
    }
}

/// The reason why the text of a field was refused: the problem and the remedy.
struct FieldRefusal: Error {
    let reason: String
    /// The index of the word that is wrong, in a field of several words.
    let word: Int

    init(_ reason: String, word: Int = 0) {
        self.reason = reason
        self.word = word
    }
}

/// Names for numbers in a field.
enum Mnemonics {
    /// The algorithms of DNSSEC (RFC 4034 and the IANA registry), also by the names that BIND prints.
    case algorithms
    /// The types of certificates (RFC 4398).
    case certificates

    private static let numbers: [Mnemonics: [String: UInt32]] = [
        .algorithms: [
            "RSAMD5": 1, "DH": 2, "DSA": 3, "ECC": 4, "RSASHA1": 5, "DSA-NSEC3-SHA1": 6, "NSEC3DSA": 6,
            "RSASHA1-NSEC3-SHA1": 7, "NSEC3RSASHA1": 7, "RSASHA256": 8, "RSASHA512": 10, "ECC-GOST": 12, "ECCGOST": 12,
            "ECDSAP256SHA256": 13, "ECDSAP384SHA384": 14, "ED25519": 15, "ED448": 16, "INDIRECT": 252,
            "PRIVATEDNS": 253, "PRIVATEOID": 254,
        ],
        .certificates: [
            "PKIX": 1, "SPKI": 2, "PGP": 3, "IPKIX": 4, "ISPKI": 5, "IPGP": 6, "ACPKIX": 7, "IACPKIX": 8, "URI": 253,
            "OID": 254,
        ],
    ]

    /// Returns the number of a name, in either case; nil if there is none.
    func number(of name: String) -> UInt32? { Mnemonics.numbers[self]?[name.uppercased()] }

    /// A name, as an example in errors.
    var example: String {
        switch self {
        case .algorithms: "ECDSAP256SHA256"
        case .certificates: "PKIX"
        }
    }
}
