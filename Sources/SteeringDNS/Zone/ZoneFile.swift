import Documents

/// The records of a zone file (RFC 1035, section 5, and later RFCs).
///
/// ```
/// $ORIGIN example.com.
/// $TTL 1h
/// @    SOA  ns1 hostmaster ( 2024010101 1d 2h 4w 5m )
///      NS   ns1
/// ns1  A    192.0.2.53
/// $INCLUDE mail.zone
/// $GENERATE 1-9 host$ A 192.0.2.$
/// ```
///
/// All records are of class IN and of types that an unsigned zone can have. Types without a syntax of their own are
/// written in the generic form, `TYPE666 \# 3 abcdef`. Names keep their case. ``CheckedZone`` checks whether the records
/// make a zone.
public struct ZoneFile: Sendable {
    /// The name of the file in errors.
    public let name: String
    /// The records, in file order.
    public let records: [ResourceRecord]
    /// The line on which each record begins, by index, in the file that ``file(of:)`` names.
    public let lines: [Int]
    /// The paths of the files that were included, each once.
    public let includedFiles: [String]
    let runs: [Run]
    /// Remarks about records, by index, for the warnings of ``CheckedZone``.
    let remarks: [(index: Int, message: String)]

    /// Successive records of one file.
    struct Run: Sendable {
        /// The index of the first record.
        let start: Int
        let file: String
    }

    /// Parses a zone file.
    ///
    /// - Parameters:
    ///   - bytes: The contents of the file: at most 256 MiB, with lines of at most 1 MiB. Included files and generated
    ///     records count as well.
    ///   - name: The name of the file in errors.
    ///   - directory: The directory that the paths in `$INCLUDE` start from; nil refuses `$INCLUDE`. Included files are
    ///     regular files, at most 10,000, and at most 16 deep. Paths in them start from their own directory.
    ///   - origin: The origin of relative names before the first `$ORIGIN`; nil if relative names are an error there.
    ///   - defaultTTL: The TTL in seconds of records without one before the first `$TTL`. If nil, it is the last TTL in
    ///     the file (RFC 1035, section 5.1); if there is none either, the minimum of the SOA record, with a warning.
    /// - Throws: ``ZoneFileError`` with line and column of the first error.
    public init(
        _ bytes: [UInt8], named name: String, directory: String? = nil, origin: DNSName? = nil,
        defaultTTL: UInt32? = nil
    ) throws(ZoneFileError) {
        try self.init(
            bytes, named: name, inclusions: ZoneInclusions(directory: directory), origin: origin,
            defaultTTL: defaultTTL)
    }

    /// Reads a zone file and the files that it includes.
    ///
    /// - Throws: ``ZoneFileError``, or ``DocumentError`` if the file itself cannot be read.
    package init(contentsOf path: String, origin: DNSName? = nil) throws {
        try self.init(
            try InputFile.contents(of: path, limit: ZoneLexer.largestFile), named: path,
            inclusions: ZoneInclusions(directory: InputFile.directory(of: path), identity: FileIdentity(path)),
            origin: origin)
    }

    private init(
        _ bytes: [UInt8], named name: String, inclusions: ZoneInclusions, origin: DNSName?, defaultTTL: UInt32? = nil
    ) throws(ZoneFileError) {
        var reader = ZoneReader(
            lexer: try ZoneLexer(bytes: bytes, file: name), inclusions: inclusions, origin: origin,
            defaultTTL: defaultTTL)
        try reader.readAll()
        self.name = name
        records = reader.records
        lines = reader.lines
        includedFiles = reader.inclusions.paths
        runs = reader.runs
        remarks = reader.remarks
    }

    /// Returns the name of the file of a record.
    ///
    /// - Parameter index: The index of the record in ``records``.
    /// - Returns: ``name``, or the path of an included file.
    public func file(of index: Int) -> String { runs.file(of: index) ?? name }

    /// Returns a record as a line of a zone file: owner, TTL, class, type and data, without a line end.
    ///
    /// - Parameter record: The record.
    /// - Returns: The line. Data that is malformed for its type is in the generic form of RFC 3597.
    public static func text(of record: ResourceRecord) -> String {
        let data = RecordData.text(of: record.data, type: record.type)
        return "\(record.owner) \(record.ttl) IN \(record.type)"
            + (data.isEmpty ? "" : " \(String(decoding: data, as: UTF8.self))")
    }
}

extension [ZoneFile.Run] {
    /// Returns the file of a record; nil if there are no runs before it.
    func file(of index: Int) -> String? {
        let next = partitioningIndex { $0.start > index }
        return next == 0 ? nil : self[next - 1].file
    }
}
