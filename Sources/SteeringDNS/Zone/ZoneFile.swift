/// The records of a zone file (RFC 1035, section 5, and later RFCs).
///
/// ```
/// $ORIGIN example.com.
/// $TTL 1h
/// @    SOA  ns1 hostmaster ( 2024010101 1d 2h 4w 5m )
///      NS   ns1
/// ns1  A    192.0.2.53
/// ```
///
/// All records are of class IN and of types that an unsigned zone can have. Types without a syntax of their own are
/// written in the generic form, `TYPE666 \# 3 abcdef`. `$INCLUDE` and `$GENERATE` are not supported. Names keep their
/// case. ``CheckedZone`` checks whether the records make a zone.
public struct ZoneFile: Sendable {
    /// The name of the file in errors.
    public let name: String
    /// The records, in file order.
    public let records: [ResourceRecord]
    /// The line on which each record begins, by index.
    public let lines: [Int]

    /// Parses a zone file.
    ///
    /// - Parameters:
    ///   - bytes: The contents of the file: at most 256 MiB, with lines of at most 1 MiB.
    ///   - name: The name of the file in errors.
    ///   - origin: The origin of relative names before the first `$ORIGIN`; nil if relative names are an error there.
    ///   - defaultTTL: The TTL in seconds of records without one before the first `$TTL`. If nil, it is the minimum of
    ///     the SOA record above (RFC 2308), otherwise the last TTL in the file.
    /// - Throws: ``ZoneFileError`` with line and column of the first error.
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

    /// Returns a record as a line of a zone file: owner, TTL, class, type and data, without a line end.
    ///
    /// - Parameter record: The record.
    /// - Returns: The line. Data that is malformed for its type is in the generic form of RFC 3597.
    public static func text(of record: ResourceRecord) -> String {
        let data = String(decoding: RecordData.text(of: record.data, type: record.type), as: UTF8.self)
        return "\(record.owner) \(record.ttl) IN \(record.type) \(data)"
    }
}
