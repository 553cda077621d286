/// The record types with a name: for each one row with its number, its name, and the fields of its data.
struct RecordTable {
    /// The name of a type.
    let name: String
    /// The fields of the type's data; nil for a type that only the generic form of RFC 3597 can write.
    let fields: [RecordField]?

    private init(_ name: String, _ fields: [RecordField]?) {
        self.name = name
        self.fields = fields
    }

    static let rows: [UInt16: RecordTable] = [
        1: row("A", ("IPv4 address", .ipv4)),
        2: row("NS", ("name server", .domain)),
        5: row("CNAME", ("target", .domain)),
        6: row(
            "SOA", ("primary server", .domain), ("mailbox", .domain), ("serial", .number(4)),
            ("refresh time", .seconds),
            ("retry time", .seconds), ("expiry time", .seconds), ("minimum TTL", .seconds)),
        7: row("MB", ("host of the mailbox", .domain)),
        8: row("MG", ("mailbox of the group", .domain)),
        9: row("MR", ("new mailbox", .domain)),
        10: RecordTable("NULL", nil),
        11: row("WKS", ("IPv4 address", .ipv4), ("protocol", .services)),
        12: row("PTR", ("name", .domain)),
        13: row("HINFO", ("processor", .string), ("system", .string)),
        14: row("MINFO", ("mailbox", .domain), ("mailbox for errors", .domain)),
        15: row("MX", ("preference", .number(2)), ("mail server", .domain)),
        16: row("TXT", ("text", .strings)),
        17: row("RP", ("mailbox", .domain), ("name of the text", .domain)),
        18: row("AFSDB", ("subtype", .number(2)), ("server", .domain)),
        19: row("X25", ("number", .string)),
        20: row("ISDN", ("number", .string), ("subaddress", .optionalString)),
        21: row("RT", ("preference", .number(2)), ("intermediate host", .domain)),
        22: row("NSAP", ("address", .networkServicePoint)),
        23: row("NSAP-PTR", ("name", .domain)),
        24: RecordTable("SIG", nil),
        25: row("KEY", keyFields),
        26: row("PX", ("preference", .number(2)), ("name by RFC 822", .domain), ("name by X.400", .domain)),
        27: row("GPOS", ("longitude", .string), ("latitude", .string), ("altitude", .string)),
        28: row("AAAA", ("IPv6 address", .ipv6)),
        29: row("LOC", ("place", .location)),
        30: RecordTable("NXT", nil),
        33: row(
            "SRV", ("priority", .number(2)), ("weight", .number(2)), ("port", .number(2)), ("target", .domain)),
        35: row(
            "NAPTR", ("order", .number(2)), ("preference", .number(2)), ("flags", .string), ("services", .string),
            ("expression", .string), ("replacement", .domain)),
        36: row("KX", ("preference", .number(2)), ("key exchanger", .domain)),
        37: row(
            "CERT", ("certificate type", .named(2, .certificates)), ("key tag", .number(2)),
            ("algorithm number", .named(1, .algorithms)), ("certificate", .base64(mayBeEmpty: false))),
        39: row("DNAME", ("target", .domain)),
        41: RecordTable("OPT", nil),
        42: row("APL", ("prefixes", .prefixes)),
        43: row("DS", digestFields),
        44: row(
            "SSHFP", ("algorithm number", .number(1)), ("fingerprint type", .number(1)), ("fingerprint", .digest)),
        45: row(
            "IPSECKEY", ("precedence", .number(1)), ("gateway type", .number(1)), ("algorithm number", .number(1)),
            ("gateway", .gateway(kindAt: 1)), ("public key", .base64(mayBeEmpty: true))),
        46: RecordTable("RRSIG", nil),
        47: RecordTable("NSEC", nil),
        48: RecordTable("DNSKEY", nil),
        49: row("DHCID", ("identifier", .base64(mayBeEmpty: false))),
        50: RecordTable("NSEC3", nil),
        51: RecordTable("NSEC3PARAM", nil),
        52: row("TLSA", associationFields),
        53: row("SMIMEA", associationFields),
        55: row("HIP", ("identity", .hostIdentity), ("rendezvous servers", .domains)),
        56: row("NINFO", ("text", .strings)),
        57: row("RKEY", keyFields),
        58: row("TALINK", ("previous name", .domain), ("next name", .domain)),
        59: row("CDS", digestFields),
        60: row("CDNSKEY", keyFields),
        61: row("OPENPGPKEY", ("public key", .base64(mayBeEmpty: false))),
        62: row("CSYNC", ("serial", .number(4)), ("flags value", .number(2)), ("types", .types)),
        63: row(
            "ZONEMD", ("serial", .number(4)), ("scheme", .number(1)), ("hash algorithm", .number(1)),
            ("digest", .digest)),
        64: row("SVCB", serviceFields),
        65: row("HTTPS", serviceFields),
        99: row("SPF", ("text", .strings)),
        104: row(
            "NID", ("preference", .number(2)), ("node identifier", .groups(count: 4, bytes: 2, separator: colon))),
        105: row("L32", ("preference", .number(2)), ("locator", .ipv4)),
        106: row("L64", ("preference", .number(2)), ("locator", .groups(count: 4, bytes: 2, separator: colon))),
        107: row("LP", ("preference", .number(2)), ("name of the locators", .domain)),
        108: row("EUI48", ("address", .groups(count: 6, bytes: 1, separator: dash))),
        109: row("EUI64", ("address", .groups(count: 8, bytes: 1, separator: dash))),
        249: RecordTable("TKEY", nil),
        250: RecordTable("TSIG", nil),
        251: RecordTable("IXFR", nil),
        252: RecordTable("AXFR", nil),
        253: RecordTable("MAILB", nil),
        254: RecordTable("MAILA", nil),
        255: RecordTable("ANY", nil),
        256: row("URI", ("priority", .number(2)), ("weight", .number(2)), ("target", .text)),
        257: row("CAA", ("flags value", .number(1)), ("tag", .tag), ("value", .text)),
        258: row("AVC", ("text", .strings)),
        261: row("RESINFO", ("text", .strings)),
        262: row("WALLET", ("text", .strings)),
        32769: row("DLV", digestFields),
    ]

    /// The numbers of the types, by name.
    static let numbers: [String: UInt16] = Dictionary(uniqueKeysWithValues: rows.map { ($0.value.name, $0.key) })

    // MARK: Fields of several types

    private typealias Field = (name: String, form: RecordField.Form)

    private static let digestFields: [Field] = [
        ("key tag", .number(2)), ("algorithm number", .named(1, .algorithms)), ("digest type", .number(1)),
        ("digest", .digest),
    ]
    private static let keyFields: [Field] = [
        ("flags value", .number(2)), ("protocol", .number(1)), ("algorithm number", .named(1, .algorithms)),
        ("public key", .base64(mayBeEmpty: true)),
    ]
    private static let associationFields: [Field] = [
        ("usage", .number(1)), ("selector", .number(1)), ("matching type", .number(1)), ("certificate data", .digest),
    ]
    private static let serviceFields: [Field] = [
        ("priority", .number(2)), ("target", .domain), ("parameters", .parameters),
    ]
    private static let colon = UInt8(ascii: ":")
    private static let dash = UInt8(ascii: "-")

    private static func row(_ name: String, _ fields: Field...) -> RecordTable { row(name, fields) }

    private static func row(_ name: String, _ fields: [Field]) -> RecordTable {
        RecordTable(name, fields.map { RecordField($0.name, $0.form) })
    }
}

extension RecordType {
    /// The fields of the type's data; nil for a type without a syntax of its own, which takes the generic form of RFC
    /// 3597.
    var fields: [RecordField]? { RecordTable.rows[rawValue]?.fields }
}
