/// The records of a zone file, as RFC 1035, section 5, and its successors write it.
///
/// ```
/// $ORIGIN example.com.
/// $TTL 1h
/// @    SOA  ns1 hostmaster ( 2024010101 1d 2h 4w 5m )
///      NS   ns1
/// ns1  A    192.0.2.53
/// ```
///
/// Every record is of class IN and of a type that an unsigned zone can serve; types without a form of their own are
/// written in the generic one, `TYPE666 \# 3 abcdef`. Names keep the case they are written in. Whether the records
/// make a zone is another question: ``CheckedZone`` answers it.
public struct ZoneFile: Sendable {
    /// The name of the file, for messages.
    public let name: String
    /// The records in the order of the file.
    public let records: [ResourceRecord]
    /// For each record, the line on which it begins.
    public let lines: [Int]

    /// Reads a zone file.
    ///
    /// - Parameters:
    ///   - bytes: the contents of the file, at most 256 MiB.
    ///   - name: what errors call the file.
    ///   - origin: what relative names are relative to until the file says `$ORIGIN`.
    ///   - defaultTTL: the TTL of records without one until the file says `$TTL`. Where both are missing it is the
    ///     minimum of the SOA record above (RFC 2308), else the last TTL that the file states.
    /// - Throws: one sentence with line and column about the first thing that is wrong.
    public init(
        _ bytes: [UInt8], named name: String, origin: DNSName? = nil, defaultTTL: UInt32? = nil
    ) throws(ZoneFileError) {
        var reader = ZoneReader(
            lexer: try ZoneLexer(bytes: bytes, file: name), origin: origin, defaultTTL: defaultTTL)
        try reader.readAll()
        self.name = name
        records = reader.records
        lines = reader.lines
    }

    /// The records of a zone file: ``init(_:named:origin:defaultTTL:)`` without the lines.
    public static func records(
        in bytes: [UInt8], named file: String, origin: DNSName?, defaultTTL: UInt32?
    ) throws(ZoneFileError) -> [ResourceRecord] {
        try ZoneFile(bytes, named: file, origin: origin, defaultTTL: defaultTTL).records
    }

    /// A record as a line of a zone file, without the line end: owner, TTL, class, type, data, nothing left out.
    public static func text(of record: ResourceRecord) -> String {
        let data = String(decoding: RecordData.text(of: record.data, type: record.type), as: UTF8.self)
        return "\(record.owner) \(record.ttl) IN \(record.type) \(data)"
    }
}
