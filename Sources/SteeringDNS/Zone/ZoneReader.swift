import AddressPools

/// Parses the entries of a zone file: directives, and records with omitted owners, TTLs and classes.
struct ZoneReader {
    /// The maximum TTL (RFC 2181, section 8).
    static let longestTTL = UInt32(Int32.max)

    var lexer: ZoneLexer
    var origin: DNSName?
    var owner: DNSName?
    /// Set by `$TTL` or by the caller.
    var defaultTTL: UInt32?
    private var lastTTL: UInt32?
    /// The files that included the present one, the outermost first.
    var outer: [Outer] = []
    var inclusions: ZoneInclusions
    /// The bytes of all files and of generated records so far.
    var size: Int
    private(set) var records: [ResourceRecord] = []
    private(set) var lines: [Int] = []
    private(set) var runs: [ZoneFile.Run] = []
    private(set) var remarks: [(index: Int, message: String)] = []

    /// What an included file does not change.
    struct Outer {
        let lexer: ZoneLexer
        let origin: DNSName?
        let owner: DNSName?
    }

    init(lexer: ZoneLexer, inclusions: ZoneInclusions, origin: DNSName?, defaultTTL: UInt32?) {
        self.lexer = lexer
        self.inclusions = inclusions
        self.origin = origin
        self.defaultTTL = defaultTTL
        size = lexer.bytes.count
    }

    mutating func readAll() throws(ZoneFileError) {
        repeat {
            while try readEntry() {}
        } while leaveFile()
    }

    /// Reads the next entry; false at the end of the file. A generated entry is always a record.
    @discardableResult
    mutating func readEntry(isGenerated: Bool = false) throws(ZoneFileError) -> Bool {
        guard let start = try lexer.nextEntry() else { return false }
        // An entry may consist of parentheses only.
        guard let first = try lexer.next() else { return true }
        switch start {
        case .space:
            guard owner != nil else {
                throw lexer.failure(
                    "the first record has no owner; begin its line with a name, or @ for the origin",
                    at: first.place)
            }
            try readRecord(from: first)
        case .word where !isGenerated && !first.isQuoted && lexer.bytes[first.range].first == UInt8(ascii: "$"):
            try readDirective(first)
        case .word:
            owner = try name(first)
            guard let second = try lexer.next() else { throw missing("class, TTL or type") }
            try readRecord(from: second)
        }
        return true
    }

    /// Notes that the next records are from the file that is being read.
    mutating func startRun() { runs.append(ZoneFile.Run(start: records.count, file: lexer.file)) }

    // MARK: Records

    /// Parses the rest of a record after its owner. TTL and class may come in either order, or be omitted.
    private mutating func readRecord(from first: ZoneToken) throws(ZoneFileError) {
        var token = first
        var ttl: UInt32?
        var hasClass = false
        while true {
            if isTTL(token) {
                guard ttl == nil else {
                    throw lexer.failure(
                        "the record has two TTLs, or its type is missing; write one of each", at: token.place)
                }
                ttl = try seconds(token, maximum: ZoneReader.longestTTL, "TTL")
            } else if try isClass(token) {
                guard !hasClass else {
                    throw lexer.failure("the record has its class twice; remove one", at: token.place)
                }
                hasClass = true
            } else {
                break
            }
            token = try required("type")
        }
        let type = try type(token)
        let data = try data(of: type)
        guard let owner, let ttl = settledTTL(ttl, type, data) else {
            throw lexer.failure(
                "the record has no TTL and none was given before it; write $TTL 3600 at the top", at: first.place)
        }
        records.append(ResourceRecord(owner: owner, type: type, ttl: ttl, data: data))
        lines.append(lexer.sourcePlace(first.place).line)
    }

    /// Returns the TTL of a record: its own, else that of `$TTL` (RFC 2308, section 4), else the last that was stated
    /// (RFC 1035, section 5.1). A SOA record before all of these has its minimum field, as in BIND, and states it for
    /// those that follow.
    private mutating func settledTTL(_ stated: UInt32?, _ type: RecordType, _ data: [UInt8]) -> UInt32? {
        if stated == nil, defaultTTL == nil, lastTTL == nil, type == .SOA {
            let minimum = data.suffix(4).reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
            let ttl = min(minimum, ZoneReader.longestTTL)
            remarks.append(
                (
                    records.count,
                    "no TTL is given for the SOA record, and its minimum, \(ttl), is used; write $TTL \(ttl) above"
                ))
            lastTTL = ttl
        }
        if let stated { lastTTL = stated }
        return stated ?? defaultTTL ?? lastTTL
    }

    func isTTL(_ token: ZoneToken) -> Bool { !token.isQuoted && isDigit(lexer.bytes[token.range].first ?? 0) }

    func isClass(_ token: ZoneToken) throws(ZoneFileError) -> Bool {
        guard !token.isQuoted else { return false }
        let word = text(token).uppercased()
        switch word {
        case "IN", "CLASS1": return true
        case "CH", "CHAOS", "HS", "HESIOD", "CS", "NONE": break
        default:
            guard word.hasPrefix("CLASS"), UInt16(word.dropFirst(5)) != nil else { return false }
        }
        throw lexer.failure("class \(word) is not served; write IN, or leave the class out", at: token.place)
    }

    private func type(_ token: ZoneToken) throws(ZoneFileError) -> RecordType {
        guard !token.isQuoted, let type = RecordType(text(token)) else {
            throw lexer.failure(
                "\(shown(token)) is not a known type; write other types as TYPE and their "
                    + "number, with \\# LENGTH HEXADECIMAL", at: token.place)
        }
        if type.isMeta {
            let reason = type.rawValue == 0 ? "is reserved" : "occurs only in messages"
            throw lexer.failure("\(type) \(reason), never in a zone; remove the record", at: token.place)
        }
        if type.isForSignedZones {
            throw lexer.failure(
                "\(type) belongs to a signed zone, and this one is served unsigned; remove the DNSSEC records",
                at: token.place)
        }
        return type
    }

    // MARK: Tokens

    /// The text of a token as written.
    func text(_ token: ZoneToken) -> String { String(decoding: lexer.bytes[token.range], as: UTF8.self) }

    /// The text of a token, quoted for a message.
    func shown(_ token: ZoneToken) -> String { quoted(text(token)) }

    func missing(_ what: String) -> ZoneFileError {
        lexer.failure(
            "the line ends where the \(what) should be; write it, or open a parenthesis before it", at: lexer.end)
    }

    mutating func required(_ what: String) throws(ZoneFileError) -> ZoneToken {
        guard let token = try lexer.next() else { throw missing(what) }
        return token
    }

    mutating func expectEnd(of what: String) throws(ZoneFileError) {
        guard let token = try lexer.next() else { return }
        throw lexer.failure(
            "\(shown(token)) follows the end of \(what); remove it, or put a ; before a comment", at: token.place
        )
    }
}
