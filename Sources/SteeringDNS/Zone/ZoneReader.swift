import AddressPools

/// Parses the entries of a zone file: directives, and records with omitted owners, TTLs and classes.
struct ZoneReader {
    /// The maximum TTL (RFC 2181, section 8).
    static let longestTTL = UInt32(Int32.max)

    var lexer: ZoneLexer
    var origin: DNSName?
    /// Set by `$TTL`, by the caller, or from the SOA's minimum.
    var defaultTTL: UInt32?
    private var lastTTL: UInt32?
    private var owner: DNSName?
    private(set) var records: [ResourceRecord] = []
    private(set) var lines: [Int] = []

    init(lexer: ZoneLexer, origin: DNSName?, defaultTTL: UInt32?) {
        self.lexer = lexer
        self.origin = origin
        self.defaultTTL = defaultTTL
    }

    mutating func readAll() throws(ZoneFileError) {
        while let start = try lexer.nextEntry() {
            // An entry may consist of parentheses only.
            guard let first = try lexer.next() else { continue }
            switch start {
            case .space:
                guard owner != nil else {
                    throw lexer.failure(
                        "the first record has no owner; begin its line with a name, or @ for the origin",
                        at: first.place)
                }
                try readRecord(from: first)
            case .word where !first.isQuoted && lexer.bytes[first.range.lowerBound] == UInt8(ascii: "$"):
                try readDirective(first)
            case .word:
                owner = try name(first)
                guard let second = try lexer.next() else { throw missing("class, TTL or type") }
                try readRecord(from: second)
            }
        }
    }

    // MARK: Directives

    private mutating func readDirective(_ token: ZoneToken) throws(ZoneFileError) {
        switch text(token).uppercased() {
        case "$ORIGIN":
            origin = try name(try required("name"))
        case "$TTL":
            defaultTTL = try seconds(try required("TTL"), maximum: ZoneReader.longestTTL, "TTL")
        case "$INCLUDE":
            throw lexer.failure("$INCLUDE is not supported; put the lines of that file here", at: token.place)
        case "$GENERATE":
            throw lexer.failure(
                "$GENERATE is not supported; write the records out, or let a policy answer for these names",
                at: token.place)
        default:
            throw lexer.failure(
                "\(shown(token)) is not a directive; write $ORIGIN or $TTL, or \\$ where a name begins with it",
                at: token.place)
        }
        try expectEnd(of: text(token))
    }

    // MARK: Records

    /// Parses the rest of a record after its owner. TTL and class may come in either order, or be omitted.
    private mutating func readRecord(from first: ZoneToken) throws(ZoneFileError) {
        var token = first
        var ttl: UInt32?
        var hasClass = false
        while true {
            if !token.isQuoted, isDigit(lexer.bytes[token.range.lowerBound]) {
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
        lines.append(first.place.line)
    }

    private mutating func settledTTL(_ stated: UInt32?, _ type: RecordType, _ data: [UInt8]) -> UInt32? {
        if let stated { lastTTL = stated }
        if type == .SOA, defaultTTL == nil {
            let minimum = data.suffix(4).reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
            defaultTTL = min(minimum, ZoneReader.longestTTL)
        }
        return stated ?? defaultTTL ?? lastTTL
    }

    private func isClass(_ token: ZoneToken) throws(ZoneFileError) -> Bool {
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
            throw lexer.failure("\(type) occurs only in messages, never in a zone; remove the record", at: token.place)
        }
        if type.isForSignedZones {
            throw lexer.failure(
                "\(type) belongs to a signed zone, and this one is served unsigned; remove the DNSSEC records",
                at: token.place)
        }
        return type
    }

    // MARK: Tokens

    /// The text of a token as written. Tokens are ASCII unless they are quoted.
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
