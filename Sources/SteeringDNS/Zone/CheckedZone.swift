/// The records of a zone, checked against each other as name servers do before they serve them.
///
/// These are refused, since no answer follows from them:
///
/// - a missing SOA record at the origin, or another one anywhere in the zone;
/// - CNAME records beside other records, and more than one CNAME or DNAME record at a name.
///
/// These are warnings, and the zone is served:
///
/// - duplicates, and differing TTLs of one name and type;
/// - records that can never be answered with, which are left out: outside of the zone, below a DNAME record, or at or
///   below a delegation, except what belongs there;
/// - a missing NS record at the origin, NS records at a wildcard, and DS records without NS records;
/// - NS, MX and SRV records whose targets in the zone have no address or are aliases.
public struct CheckedZone: Sendable {
    /// The name of the zone.
    public let origin: DNSName
    /// The records in their original order, without duplicates and records that can never be answered with.
    ///
    /// All records of one name and type have the lowest of their TTLs.
    public let records: [ResourceRecord]
    private let findings: [Finding]

    /// A warning, and the name that it says has no address, if that is its subject.
    struct Finding: Sendable {
        let warning: ZoneProblem
        var nameWithoutAddress: DNSName?
    }

    /// Problems that were corrected or do no harm to other records, if only this zone has addresses for its names.
    public var warnings: [ZoneProblem] { warnings { _ in false } }

    /// Returns the warnings, without those about names that get their addresses from elsewhere.
    ///
    /// - Parameter answeredElsewhere: Whether a name gets its addresses from elsewhere, such as a policy.
    /// - Returns: The warnings in the order of the records; those about missing records come first.
    public func warnings(answeredElsewhere: (DNSName) -> Bool) -> [ZoneProblem] {
        findings.filter { !($0.nameWithoutAddress.map(answeredElsewhere) ?? false) }.map(\.warning)
    }

    /// Checks the records of a file, so that problems refer to its lines.
    ///
    /// - Parameters:
    ///   - file: The records.
    ///   - origin: The name of the zone.
    /// - Throws: ``ZoneProblems`` with every problem for which the zone is refused.
    public init(_ file: ZoneFile, origin: DNSName) throws(ZoneProblems) {
        var check = ZoneCheck(
            records: file.records, origin: origin, file: file.name, lines: file.lines, runs: file.runs)
        for (index, message) in file.remarks { check.warn(index, message) }
        try self.init(&check)
    }

    /// Checks records.
    ///
    /// - Parameters:
    ///   - records: The records, in any order.
    ///   - origin: The name of the zone.
    ///   - file: The name of the file in problems.
    ///   - lines: The line on which each record begins, by index; may be empty.
    /// - Throws: ``ZoneProblems`` with every problem for which the zone is refused.
    public init(
        _ records: [ResourceRecord], origin: DNSName, file: String? = nil, lines: [Int] = []
    ) throws(ZoneProblems) {
        var check = ZoneCheck(records: records, origin: origin, file: file, lines: lines)
        try self.init(&check)
    }

    private init(_ check: inout ZoneCheck) throws(ZoneProblems) {
        check.findSets()
        check.checkSizes()
        check.checkOrigin()
        check.checkAliases()
        check.checkOcclusion()
        check.checkTargets()
        guard check.problems.isEmpty else { throw ZoneProblems(problems: check.problemsInOrder) }
        origin = check.origin
        records = check.levelled()
        findings = check.findingsInOrder
    }
}

/// The checks of ``CheckedZone``.
struct ZoneCheck {
    let records: [ResourceRecord]
    let origin: DNSName
    let file: String?
    let lines: [Int]
    /// The files of the records, if they are not all in `file`.
    private let runs: [ZoneFile.Run]
    /// The records of the zone without duplicates, by name and type, as indices.
    private(set) var sets: [DNSName: [RecordType: [Int]]] = [:]
    /// The names that exist: owners of records, and their ancestors (RFC 4592, section 2.2.2).
    private(set) var names: Set<DNSName> = []
    /// The names below the origin that have NS records.
    private(set) var delegations: Set<DNSName> = []
    /// The first CNAME or DNAME record of each name that has one.
    private(set) var aliases: [DNSName: Int] = [:]
    private(set) var redirections: [DNSName: Int] = [:]
    /// The records to serve, as indices.
    private(set) var kept: [Int] = []
    private(set) var problems: [(index: Int, problem: ZoneProblem)] = []
    private var findings: [(index: Int, finding: CheckedZone.Finding)] = []

    init(
        records: [ResourceRecord], origin: DNSName, file: String?, lines: [Int], runs: [ZoneFile.Run] = []
    ) {
        self.records = records
        self.origin = origin
        self.file = file
        self.lines = lines
        self.runs = runs
    }

    // MARK: Problems

    /// Problems with missing records come first: their index is -1.
    var problemsInOrder: [ZoneProblem] { problems.sorted { $0.index < $1.index }.map(\.problem) }
    var findingsInOrder: [CheckedZone.Finding] { findings.sorted { $0.index < $1.index }.map(\.finding) }

    mutating func refuse(_ index: Int, _ message: String) {
        problems.append((index, problem(index, message)))
    }

    mutating func warn(_ index: Int, _ message: String, nameWithoutAddress: DNSName? = nil) {
        findings.append(
            (index, .init(warning: problem(index, message), nameWithoutAddress: nameWithoutAddress)))
    }

    /// Leaves out records, each with a warning.
    mutating func leaveOut(_ reasons: [Int: String]) {
        guard !reasons.isEmpty else { return }
        for (index, reason) in reasons { warn(index, reason) }
        kept.removeAll { reasons[$0] != nil }
    }

    private func problem(_ index: Int, _ message: String) -> ZoneProblem {
        ZoneProblem(
            file: runs.file(of: index) ?? file, line: lines.indices.contains(index) ? lines[index] : nil,
            message: message)
    }

    /// A reference to another record in a message: its line, if known, and the file if the zone has several.
    func reference(_ index: Int) -> String {
        guard lines.indices.contains(index) else { return "the first" }
        return "line \(lines[index])" + (runs.isEmpty ? "" : " of \(runs.file(of: index) ?? file ?? "the zone")")
    }

    /// For example, "the MX record of example.com."
    func named(_ index: Int) -> String { "the \(records[index].type) record of \(records[index].owner)" }

    // MARK: Sets

    /// Groups the records by name and type. Leaves out duplicates and records outside of the zone.
    mutating func findSets() {
        var seen: Set<ResourceRecord> = []
        for (index, record) in records.enumerated() {
            guard record.owner.isAtOrBelow(origin) else {
                warn(
                    index,
                    "\(record.owner) is outside of the zone \(origin), so the record is left out; remove it, or end its "
                        + "name without a dot")
                continue
            }
            let data = RecordData.folded(record.data, type: record.type)
            let plain = ResourceRecord(owner: record.owner, type: record.type, ttl: 0, data: data)
            guard seen.insert(plain).inserted else {
                warn(index, "\(named(index)) appears twice; remove one")
                continue
            }
            kept.append(index)
            sets[record.owner, default: [:]][record.type, default: []].append(index)
            if record.type == .NS, record.owner != origin { delegations.insert(record.owner) }
            if record.type == .CNAME, aliases[record.owner] == nil { aliases[record.owner] = index }
            if record.type == .DNAME, redirections[record.owner] == nil { redirections[record.owner] = index }
            var name: DNSName? = record.owner
            while let existing = name, existing.isAtOrBelow(origin), names.insert(existing).inserted {
                name = existing.parent
            }
        }
    }

    /// Returns the remaining records, each with the lowest TTL of its set (RFC 2181, section 5.2).
    mutating func levelled() -> [ResourceRecord] {
        kept.map { index in
            let record = records[index]
            let set = sets[record.owner]?[record.type] ?? [index]
            let least = set.reduce(record.ttl) { min($0, records[$1].ttl) }
            if let first = set.first, index != first, record.ttl != records[first].ttl {
                warn(
                    index,
                    "the TTL \(record.ttl) differs from \(records[first].ttl) of \(reference(first)) for "
                        + "\(record.owner) \(record.type), and \(least) is used for all; write the same")
            }
            return ResourceRecord(owner: record.owner, type: record.type, ttl: least, data: record.data)
        }
    }

    func first(_ type: RecordType, of name: DNSName) -> Int? { sets[name]?[type]?.first }

    func hasAddress(_ name: DNSName) -> Bool {
        first(.A, of: name) != nil || first(.AAAA, of: name) != nil
    }
}
